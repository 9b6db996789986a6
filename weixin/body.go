package weixin

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// tooLargeError means that a body has more than limit bytes.
type tooLargeError struct{ limit int64 }

// Error implements error.
func (e tooLargeError) Error() string {
	if e.limit >= 1<<20 {
		return fmt.Sprintf("more than %d MiB", e.limit>>20)
	}
	return fmt.Sprintf("more than %d KiB", e.limit>>10)
}

// readBounded reads all of r. It returns a tooLargeError if that is more than limit bytes.
func readBounded(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = tooLargeError{limit}
	}
	return body, err
}

// decompressed decompresses a body that begins like gzip, up to limit bytes, and returns any other as it is.
// Proxies have been seen to compress without being asked to, with and without a Content-Encoding; no other
// response begins like this.
func decompressed(body []byte, limit int64) ([]byte, error) {
	if !bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		return body, nil
	}
	reader, err := gzip.NewReader(bytes.NewReader(body))
	var plain []byte
	if err == nil {
		plain, err = readBounded(reader, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("decompressing the response: %w", err)
	}
	return plain, nil
}

// normalized returns a JSON object in the form that encoding/json reads: without byte order mark, in
// UTF-8, and with raw control characters in its strings escaped. A body that needs none of this, or that
// cannot be put into this form, is returned as it is.
func normalized(body []byte) []byte {
	text := bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\uFEFF"))
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return body
	}
	if !utf8.Valid(text) {
		text = fromGBK(text)
	}
	if json.Valid(text) {
		return text
	}
	if escaped := escapeControls(text); json.Valid(escaped) {
		return escaped
	}
	return text
}

// fromGBK decodes text from GBK, and returns text that is not in GBK as it is. The charset in the
// Content-Type header is not reliable. GB 18030 contains GBK.
func fromGBK(text []byte) []byte {
	decoded, err := simplifiedchinese.GB18030.NewDecoder().Bytes(text)
	if err != nil || bytes.ContainsRune(decoded, utf8.RuneError) {
		return text
	}
	return decoded
}

// escapeControls escapes the control characters in the strings of a JSON text, and replaces those between
// the strings by spaces.
func escapeControls(text []byte) []byte {
	var b strings.Builder
	b.Grow(len(text))
	inString, escaped := false, false
	for _, c := range text {
		switch {
		case c < ' ' && !inString:
			c = ' '
			b.WriteByte(c)
		case c < ' ':
			if escaped {
				b.WriteByte('\\') // the backslash before it stands for itself
			}
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = inString
		case c == '"':
			inString = !inString
		}
	}
	return []byte(b.String())
}
