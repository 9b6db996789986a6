package query

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp/syntax"
	"strings"

	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/strutil"
	"golang.org/x/sync/semaphore"
)

// What a client sends is read and parsed before it is known what a query costs. These bounds are for that part: the
// parser takes 500 bytes for each parenthesis, and a time that grows with the square of the number of operators.
const (
	// maxRequests limits the requests that are in progress, waiting ones included.
	maxRequests = 128
	// maxTokens limits the names, numbers, texts, operators and brackets of the expressions of a request. A text counts
	// once, however long it is.
	maxTokens = 2000
	// maxParameters limits the parameters of a form, which take ten times their bytes in memory. It is more than the
	// selectors that maxTokens allows.
	maxParameters = 5000
	// tokenSize is more than a token takes in memory, in bytes: parsed, and as parse_query shows it.
	tokenSize = 2 << 10
	// longestPattern limits a regular expression that is more than a choice of texts, in bytes.
	longestPattern = 16 << 10
	// maxStates limits the states of the automaton of a regular expression, all of which each character of a name may take.
	maxStates = 1 << 14
	// stateSize is more than a state takes in memory, in bytes.
	stateSize = 100
	// choiceSize is how much more than its characters a text of a choice with brackets takes, in bytes.
	choiceSize = 150
	// formatRoom limits the bytes that are copied to format an expression. Prometheus copies at each level what is below it, and does that
	// at each level to see whether it fits into a line: about its length times the square of its levels.
	formatRoom = 32 << 20
	// messageSize is how much more memory than bytes the message of a remote read may take.
	messageSize = 50

	// bodyRoom limits the bytes of all bodies that are in memory, and bodyStep is how many are taken at a time.
	bodyRoom = 16 << 20
	bodyStep = 32 << 10
	// textRoom limits what all parsed expressions and messages take in memory, in bytes, besides smallText or less for each request.
	textRoom  = 64 << 20
	smallText = 128 << 10
)

// errBusy means that other requests have all that requests may take.
var errBusy = errors.New("too many queries at a time; try again later")

// room limits what requests have in memory before their cost is known.
type room struct{ bodies, texts *semaphore.Weighted }

func newRoom() room {
	return room{semaphore.NewWeighted(bodyRoom), semaphore.NewWeighted(textRoom)}
}

// takeTexts waits until so many bytes are free for what a request is parsed to. Few bytes are always free, so that requests with many
// delay only one another.
func (r *room) takeTexts(ctx context.Context, bytes int64) (release func(), err error) { //nolint:nonamedreturns // says what is returned
	if bytes <= smallText {
		return func() {}, nil
	}
	bytes = min(bytes, textRoom)
	if err := r.texts.Acquire(ctx, bytes); err != nil {
		return nil, queued(err)
	}
	return func() { r.texts.Release(bytes) }, nil
}

// body reads a body while there is room for all that is being read.
type body struct {
	io.Reader

	room       *semaphore.Weighted
	free, held int64
}

func (b *body) Read(p []byte) (int, error) {
	if b.free == 0 {
		if !b.room.TryAcquire(bodyStep) {
			return 0, errBusy
		}
		b.free, b.held = bodyStep, b.held+bodyStep
	}
	n, err := b.Reader.Read(p[:min(int64(len(p)), b.free)])
	b.free -= int64(n)
	return n, err
}

func (b *body) release() { b.room.Release(b.held) }

// expressionsOf returns how many bytes the expressions of a request take at most, or an error that says which bound
// they exceed.
func expressionsOf(form url.Values) (int64, error) {
	tokens, size := 0, int64(0)
	for name, texts := range map[string][]string{"query": first(form["query"]), "match[]": form["match[]"]} {
		for _, text := range texts {
			var err error
			if tokens, size, err = measure(text, tokens, size); err != nil {
				return 0, errorAbout(name, err)
			}
		}
	}
	if size > textRoom {
		return 0, &apiError{badData, errors.New("the regular expressions of the request repeat too much together: make them fewer or shorter, or the numbers in braces smaller")}
	}
	return size, nil
}

// first is what FormValue uses.
func first(values []string) []string { return values[:min(1, len(values))] }

// measure adds an expression to the number of tokens and the bytes that they take.
func measure(text string, tokens int, size int64) (int, int64, error) {
	lexer := parser.Lex(text)
	var token parser.Item
	for {
		lexer.NextItem(&token)
		if token.Typ == parser.EOF || token.Typ == parser.ERROR {
			return tokens, size, nil // the parser says what is wrong
		}
		if tokens++; tokens > maxTokens {
			return 0, 0, fmt.Errorf("the expression has more than %d names, numbers, texts, operators and brackets", maxTokens)
		}
		size += tokenSize
		if token.Typ != parser.STRING {
			continue
		}
		value, err := strutil.Unquote(token.Val)
		if err != nil {
			continue // the parser says what is wrong
		}
		cost, err := patternSize(value)
		if err != nil {
			return 0, 0, err
		}
		size += cost
	}
}

// patternsOf returns how many bytes the regular expressions of a remote read take at most, or an error if they or the
// matchers are too many.
func patternsOf(request *prompb.ReadRequest) (int64, error) {
	parts, size := len(request.Queries), int64(0)
	for _, q := range request.Queries {
		parts += len(q.Matchers)
		for _, m := range q.Matchers {
			if m.Type != prompb.LabelMatcher_RE && m.Type != prompb.LabelMatcher_NRE {
				continue
			}
			cost, err := patternSize(m.Value)
			if err != nil {
				return 0, fmt.Errorf("matcher of %s: %w", m.Name, err)
			}
			size += cost
		}
	}
	if parts > maxTokens {
		return 0, fmt.Errorf("the request has more than %d queries and matchers", maxTokens)
	}
	return size, nil
}

// patternSize returns how many bytes a text takes at most if it is a regular expression, or an error if that is too
// much. A choice of texts, such as the names of all accounts, may have any length.
func patternSize(text string) (int64, error) {
	size := int64(len(text))
	if isChoice(text) {
		if strings.ContainsAny(text, `(\`) { // which Prometheus compiles as any other regular expression
			return stateSize/2*size + choiceSize*int64(strings.Count(text, "|")), nil
		}
		return stateSize / 5 * size, nil
	}
	if size > longestPattern {
		return 0, fmt.Errorf("a regular expression has %d bytes; at most %d are allowed, unless it is a choice of texts such as a|b|c", size, longestPattern)
	}
	states := statesOf(text)
	if states > maxStates {
		return 0, errors.New("a regular expression repeats too much: make it shorter, or the numbers in braces smaller")
	}
	return stateSize * states, nil
}

// isChoice reports whether a regular expression only has texts, with what is special in them escaped, brackets
// around them and | between them.
func isChoice(text string) bool {
	brackets := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case strings.IndexByte(`.+*?[]{}^$`, c) >= 0:
			return false
		case c == '(':
			brackets++
		case c != '\\':
		case i+1 < len(text) && strings.IndexByte(punctuation, text[i+1]) >= 0:
			i++
		default:
			return false
		}
	}
	return brackets <= 1 // many are a tree, not a choice
}

// punctuation is all that stands for itself after a backslash.
const punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

// statesOf returns about how many states the automaton of a regular expression has; 0 if it is none.
func statesOf(text string) int64 {
	parsed, err := syntax.Parse(text, syntax.Perl|syntax.DotNL)
	if err != nil {
		return 0
	}
	return states(parsed)
}

// states returns the states of a part of a regular expression. What braces repeat has them as often.
func states(part *syntax.Regexp) int64 {
	const ranges = 8 // of a class, such as the letters of all languages, that take as much as a state
	count := 1 + int64(len(part.Rune))
	if part.Op == syntax.OpCharClass {
		count = 1 + int64(len(part.Rune)/2/ranges)
	}
	for _, sub := range part.Sub {
		count += states(sub)
	}
	if part.Op == syntax.OpRepeat {
		count *= int64(max(part.Min, part.Max, 1))
	}
	return count
}

// takeBody reads the body of a request, for which the server limits the time, before the request occupies anything
// else. The bytes are counted until release is called, which is never nil.
func (a *API) takeBody(w http.ResponseWriter, r *http.Request) (release func(), err error) { //nolint:nonamedreturns // says what is returned
	if r.Body == nil || r.Body == http.NoBody {
		return func() {}, nil
	}
	within := &body{Reader: http.MaxBytesReader(w, r.Body, maxForm), room: a.room.bodies}
	text, err := io.ReadAll(within)
	if err != nil {
		return within.release, err
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && kind == "application/x-www-form-urlencoded" && bytes.Count(text, []byte("&")) >= maxParameters {
		return within.release, fmt.Errorf("the form has more than %d parameters", maxParameters)
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	return within.release, nil
}
