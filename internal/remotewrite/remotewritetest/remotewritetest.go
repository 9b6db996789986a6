// Package remotewritetest decodes remote write requests for receivers in tests.
package remotewritetest

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/klauspost/compress/snappy"
	writev2 "github.com/prometheus/client_golang/exp/api/remote/genproto/v2"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Type is the type of a metric in version 2.0.
type Type = writev2.Metadata_MetricType

// Request is a decoded request.
type Request struct {
	// V2 is true for version 2.0 and false for 1.0.
	V2     bool
	Series []Series
}

// Series is a series and its samples.
type Series struct {
	// Labels include __name__.
	Labels  map[string]string
	Samples []Sample
	// Type and Help are set in version 2.0 only.
	Type Type
	Help string
}

// Sample is a value at a time in milliseconds since the Unix epoch.
type Sample struct {
	Time  int64
	Value float64
}

// String returns the series as Prometheus writes it, with its labels sorted by name: up{instance="a",job="b"}.
func (s Series) String() string {
	var labels []string
	for name, value := range s.Labels {
		if name != "__name__" {
			labels = append(labels, fmt.Sprintf("%s=%q", name, value))
		}
	}
	slices.Sort(labels)
	return s.Labels["__name__"] + "{" + strings.Join(labels, ",") + "}"
}

// Count returns the number of samples.
func (r *Request) Count() int {
	n := 0
	for _, s := range r.Series {
		n += len(s.Samples)
	}
	return n
}

// Read decodes a request. It returns an error, and an empty request or what was decoded before, for anything that the specification forbids: wrong headers, labels
// that are unsorted, repeated or empty, a series that occurs twice, and samples of a series that are not in order.
func Read(r *http.Request) (*Request, error) {
	packed, err := io.ReadAll(r.Body)
	if err != nil {
		return &Request{}, err
	}
	plain, err := snappy.Decode(nil, packed)
	if err != nil {
		return &Request{}, err
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Encoding") != "snappy" || r.Header.Get("User-Agent") == "" {
		return &Request{}, fmt.Errorf("%s with Content-Encoding %q and User-Agent %q", r.Method, r.Header.Get("Content-Encoding"), r.Header.Get("User-Agent"))
	}
	d := decoder{seen: map[string]bool{}}
	version := r.Header.Get("X-Prometheus-Remote-Write-Version")
	switch contentType := r.Header.Get("Content-Type"); {
	case contentType == "application/x-protobuf" && version == "0.1.0":
		err = d.readV1(plain)
	case contentType == "application/x-protobuf;proto=io.prometheus.write.v2.Request" && version == "2.0.0":
		d.request.V2 = true
		err = d.readV2(plain)
	default:
		err = fmt.Errorf("Content-Type %q with version %q", contentType, version)
	}
	return &d.request, err
}

type decoder struct {
	request Request
	seen    map[string]bool // series
}

// add adds a series. labels are names and values in turn.
func (d *decoder) add(labels []string, s Series) error {
	if len(labels)%2 != 0 {
		return fmt.Errorf("a label without a value: %q", labels)
	}
	s.Labels = map[string]string{}
	last := ""
	for pair := range slices.Chunk(labels, 2) {
		if pair[0] <= last || pair[1] == "" {
			return fmt.Errorf("labels are unsorted, repeated or empty: %q", labels)
		}
		last, s.Labels[pair[0]] = pair[0], pair[1]
	}
	key := s.String()
	if d.seen[key] {
		return fmt.Errorf("%s occurs twice", key)
	}
	d.seen[key] = true
	if !slices.IsSortedFunc(s.Samples, func(a, b Sample) int { return int(a.Time - b.Time) }) {
		return fmt.Errorf("%s: the samples are not in order: %v", key, s.Samples)
	}
	d.request.Series = append(d.request.Series, s)
	return nil
}

// readV2 decodes an io.prometheus.write.v2.Request with the type of client_golang.
func (d *decoder) readV2(message []byte) error {
	var request writev2.Request
	if err := proto.Unmarshal(message, &request); err != nil {
		return err
	}
	symbols := request.GetSymbols()
	if len(symbols) == 0 || symbols[0] != "" {
		return fmt.Errorf("the symbols do not begin with an empty one: %q", symbols)
	}
	for _, series := range request.GetTimeseries() {
		refs := append(slices.Clone(series.GetLabelsRefs()), series.GetMetadata().GetHelpRef())
		if most := slices.Max(refs); int(most) >= len(symbols) {
			return fmt.Errorf("symbol %d of %d", most, len(symbols))
		}
		var labels []string
		for _, ref := range series.GetLabelsRefs() {
			labels = append(labels, symbols[ref])
		}
		s := Series{Type: series.GetMetadata().GetType(), Help: symbols[series.GetMetadata().GetHelpRef()]}
		for _, sample := range series.GetSamples() {
			s.Samples = append(s.Samples, Sample{sample.GetTimestamp(), sample.GetValue()})
		}
		if err := d.add(labels, s); err != nil {
			return err
		}
	}
	return nil
}

// readV1 decodes a prometheus.WriteRequest. Only the module of Prometheus itself has a type for it.
func (d *decoder) readV1(message []byte) error {
	return eachField(message, func(f field) error {
		if f.number != 1 {
			return fmt.Errorf("field %d in a request", f.number)
		}
		var labels []string
		var s Series
		err := eachField(f.bytes, func(f field) error {
			if f.number == 1 {
				return eachField(f.bytes, func(f field) error {
					labels = append(labels, string(f.bytes))
					return nil
				})
			}
			if f.number != 2 {
				return fmt.Errorf("field %d in a series", f.number)
			}
			sample, err := readSample(f.bytes)
			s.Samples = append(s.Samples, sample)
			return err
		})
		if err != nil {
			return err
		}
		return d.add(labels, s)
	})
}

func readSample(message []byte) (Sample, error) {
	var s Sample
	err := eachField(message, func(f field) error {
		if f.number == 1 {
			s.Value = math.Float64frombits(f.bits)
		} else {
			s.Time = int64(f.bits)
		}
		return nil
	})
	return s, err
}

// field is a field of a message: a number in bits, or bytes.
type field struct {
	number protowire.Number
	bits   uint64
	bytes  []byte
}

func eachField(message []byte, each func(field) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		f := field{number: number}
		switch kind {
		case protowire.VarintType:
			f.bits, n = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			f.bits, n = protowire.ConsumeFixed64(message)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(message)
		default:
			return errors.New("an unexpected wire type")
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if err := each(f); err != nil {
			return err
		}
	}
	return nil
}
