package e2e_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
)

func head(method, path string, headers ...string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: abuse\r\n" + strings.Join(append(headers, ""), "\r\n")
}

// form is a POST request with a form.
func form(path string, values url.Values) string {
	text := values.Encode()
	return head("POST", path, "Content-Type: application/x-www-form-urlencoded", fmt.Sprintf("Content-Length: %d", len(text))) + "\r\n" + text
}

// sent sends a text, and then goes on or waits for the end.
func sent(conn net.Conn, text string, begun func(), then func() error) error {
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	begun()
	return then()
}

// asked sends a text and reads the response, again and again.
func asked(conn net.Conn, text string, begun func()) error {
	for {
		if _, err := io.WriteString(conn, text); err != nil {
			return err
		}
		begun()
		if err := answered(conn); err != nil {
			return err
		}
	}
}

// endless sends a text again and again.
func endless(conn net.Conn, head, text string, begun func()) error {
	return sent(conn, head, begun, func() error {
		for {
			if _, err := io.WriteString(conn, text); err != nil {
				return err
			}
		}
	})
}

// abuses are those by HTTP/1.1.
func abuses(much strength) map[string]abuse {
	posts := []string{"/api/v1/query", "/api/v1/read", "/-/reload", "/metrics", "/", "/probe", "/config"}
	const long = 14_000 // as long as the headers may be
	return map[string]abuse{
		"idle connections": each(much.idle, func(conn net.Conn, _ int, begun func()) error { begun(); return closing(conn) }),
		"slow headers": each(much.clients, func(conn net.Conn, _ int, begun func()) error {
			return sent(conn, head("GET", "/metrics", "X-Long: "+strings.Repeat("a", long)), begun, func() error { return bytewise(conn, "X-A: b\r\n") })
		}),
		"endless headers": each(much.flooders, func(conn net.Conn, _ int, begun func()) error {
			return endless(conn, head("GET", "/metrics"), strings.Repeat("X-Header: value\r\n", 100), begun)
		}),
		"slow bodies": each(much.clients, func(conn net.Conn, client int, begun func()) error {
			return sent(conn, head("POST", posts[client%len(posts)], "Content-Length: 1000000")+"\r\nquery=", begun, func() error { return bytewise(conn, "a") })
		}),
		"half a form": each(much.clients, func(conn net.Conn, client int, begun func()) error {
			begun()
			text := head("POST", posts[client%2], "Content-Type: application/x-www-form-urlencoded", "Content-Length: 1000000") + "\r\nquery=" + strings.Repeat("a", much.form)
			return sent(conn, text, begun, func() error { return bytewise(conn, "a") })
		}),
		"endless bodies": each(much.flooders, func(conn net.Conn, client int, begun func()) error {
			chunk := "8000\r\n" + strings.Repeat("a", 0x8000) + "\r\n"
			return endless(conn, head("POST", posts[client%len(posts)], "Transfer-Encoding: chunked")+"\r\n", chunk, begun)
		}),
		"unread responses": each(much.clients, func(conn net.Conn, client int, begun func()) error {
			queries := abusedQueries()
			accept := []string{asOpenMetrics, asText, asProtobuf}[client/len(queries)%3]
			encoding := []string{"gzip", "identity"}[client/len(queries)/3%2]
			text := queries[client%len(queries)].http1("Accept: "+accept, "Accept-Encoding: "+encoding)
			return sent(conn, strings.Repeat(text, 3), begun, func() error { return closing(conn) })
		}),
		"long queries": each(much.flooders, func(conn net.Conn, client int, begun func()) error {
			queries := []string{strings.Repeat("name[]=a&", long/9), "shard=" + strings.Repeat("1", long), strings.Repeat("%zz", long/3), strings.Repeat("a;", long/2)}
			all := abusedQueries()
			q := all[client%len(all)]
			q.path, _, _ = strings.Cut(q.path, "?")
			q.path += "?" + queries[client%len(queries)]
			return asked(conn, q.http1(), begun)
		}),
		"ranges": each(much.flooders, func(conn net.Conn, client int, begun func()) error {
			all := abusedQueries()
			ranges := "Range: bytes=" + strings.Repeat("0-,", long/4) + "-1"
			return asked(conn, all[client%len(all)].http1(ranges, `If-Range: "a"`, "Accept-Language: "+strings.Repeat("zh,", 500)), begun)
		}),
		"forms of many parameters": each(much.flooders, func(conn net.Conn, client int, begun func()) error {
			names := []string{"match[]=up&", "a=&", "query=1&"}
			text := strings.Repeat(names[client%len(names)], 900_000/len(names[client%len(names)]))
			head := head("POST", "/api/v1/series", "Content-Type: application/x-www-form-urlencoded", fmt.Sprintf("Content-Length: %d", len(text)))
			return asked(conn, head+"\r\n"+text, begun)
		}),
		"deep expressions": each(much.flooders, func(conn net.Conn, client int, begun func()) error {
			const n = 150_000
			deep := []string{
				strings.Repeat("(", n) + "1" + strings.Repeat(")", n), strings.Repeat("-", n) + "1", strings.Repeat("1+", n) + "1",
				strings.Repeat("-", 1900) + "1", strings.Repeat("1+", 900) + "1", `{a=~"` + strings.Repeat("a{1000}", 30) + `"}`,
			}
			path := []string{"query", "parse_query", "format_query", "query_exemplars"}[client%4]
			return asked(conn, form("/api/v1/"+path, url.Values{"query": {deep[client%len(deep)]}}), begun)
		}),
		"hasty scrapes": each(much.flooders, func(conn net.Conn, client int, begun func()) error {
			all := abusedQueries()
			return asked(conn, all[client%len(all)].http1("Accept-Encoding: gzip"), begun)
		}),
	}
}
