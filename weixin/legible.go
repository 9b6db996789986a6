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

// decompressed returns what a body that begins as gzip does holds, at most limit bytes. Proxies
// have been seen to compress although nobody asked them to, with and without saying so in
// Content-Encoding; no answer begins like this otherwise.
func decompressed(body []byte, limit int64) ([]byte, error) {
	if !bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		return body, nil
	}
	reader, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("decompressing the answer: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(reader, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("decompressing the answer: %w", err)
	case int64(len(plain)) > limit:
		return nil, fmt.Errorf("answer %w", tooLargeError{limit})
	}
	return plain, nil
}

// legible returns a JSON text in the form that encoding/json reads: without byte order mark, in
// UTF-8, and with raw control characters in its strings escaped. What is readable already, or
// cannot be made so, is returned as it is.
func legible(body []byte) []byte {
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

// fromGBK returns text decoded from GBK, or as it is where it is not in GBK. What the header says
// of the charset is not to be relied on. GB 18030 has the same characters at the same places, and
// more.
func fromGBK(text []byte) []byte {
	decoded, err := simplifiedchinese.GB18030.NewDecoder().Bytes(text)
	if err != nil || bytes.ContainsRune(decoded, utf8.RuneError) {
		return text
	}
	return decoded
}

// escapeControls escapes the control characters in the strings of a JSON text, and makes blanks of
// those between them.
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
