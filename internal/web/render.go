package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/yield"
)

//go:embed templates/*.html
var templateFiles embed.FS

// renderer makes the pages for people.
type renderer struct {
	Options
	texts     *i18n.Catalogue
	templates map[string]*template.Template
	assets    *assets
	indexes   *cache
	reads     *reads
}

func newRenderer(o Options) (*renderer, error) {
	texts, err := i18n.New()
	if err != nil {
		return nil, err
	}
	files, err := newAssets()
	if err != nil {
		return nil, err
	}
	r := &renderer{Options: o, texts: texts, assets: files, templates: map[string]*template.Template{}, indexes: &cache{}, reads: newReads(o.Figures)}
	for _, name := range []string{"overview", "account", "health", "probes", "error"} {
		t, err := template.ParseFS(templateFiles, "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("reading the templates of the pages: %w", err)
		}
		r.templates[name] = t
	}
	return r, nil
}

// page is what all templates need: the language, and where things are.
type page struct {
	i18n.Printer
	// Name is that of the template.
	Name string
	// Root is the relative URL of the overview, "./" or "../".
	Root string
	// Title is that of the window.
	Title string
	Now   time.Time

	path     string // of this page, relative to the root
	query    url.Values
	renderer *renderer
}

// newPage returns the page for a request. Its language is what the URL names, else what the browser asks for.
func (r *renderer) newPage(request *http.Request, name, path string) *page {
	query := request.URL.Query()
	language, ok := i18n.Parse(query.Get("lang"))
	if !ok {
		language = i18n.Accept(request.Header.Get("Accept-Language"))
		query.Del("lang")
	}
	depth := strings.Count(request.URL.EscapedPath(), "/") - strings.Count(r.Prefix, "/") - 1
	return &page{
		Printer: r.texts.In(language), Name: name, Root: "./" + strings.Repeat("../", max(depth, 0)),
		Now: r.Now(), path: path, query: query, renderer: r,
	}
}

// T returns a text of the catalogue.
func (p *page) T(key string, args ...any) string { return p.Text(key, args...) }

// Version is that of the program.
func (p *page) Version() string {
	if p.renderer.Version == "" {
		return p.T("page.version.unknown")
	}
	return p.renderer.Version
}

// Asset returns the relative URL of an embedded file.
func (p *page) Asset(name string) string { return p.Root + p.renderer.assets.path(name) }

// link returns a relative URL with parameters, names and values in turn; those that are "" are left out. The
// language is kept if the URL of this page names it.
func (p *page) link(path string, parameters ...string) string {
	values := url.Values{}
	if lang := p.query.Get("lang"); lang != "" {
		values.Set("lang", lang)
	}
	for i := 0; i+1 < len(parameters); i += 2 {
		if parameters[i+1] != "" {
			values.Set(parameters[i], parameters[i+1])
		}
	}
	return relative(p.Root, path, values)
}

// relative returns a relative URL: a proxy may have put a prefix before the path.
func relative(root, path string, values url.Values) string {
	u := url.URL{RawQuery: values.Encode()}
	return root + (&url.URL{Path: "./" + path}).EscapedPath()[2:] + u.String()
}

// Home, Health, Metrics and Config are where the links at the top of the page lead.
func (p *page) Home() string    { return p.link("") }
func (p *page) Health() string  { return p.link("health") }
func (p *page) Metrics() string { return relative(p.Root, p.renderer.TelemetryPath[1:], nil) }
func (p *page) Config() string  { return relative(p.Root, "config", nil) }

// At returns the name of the template, to mark where the person is.
func (p *page) At(name string) bool { return p.Name == name }

// languageLink leads to the same page in another language.
type languageLink struct {
	Name, Tag, URL string
	Current        bool
}

// Languages are the languages to switch to.
func (p *page) Languages() []languageLink {
	var links []languageLink
	for _, l := range i18n.All() {
		values := maps.Clone(p.query)
		values.Set("lang", l.String())
		links = append(links, languageLink{l.Name(), l.Tag(), relative(p.Root, p.path, values), l == p.Language})
	}
	return links
}

// policy is the Content-Security-Policy: nothing comes from elsewhere, and nothing stands within the page itself.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// write answers with a page made from its template.
func (r *renderer) write(w http.ResponseWriter, p *page, status int, view any) {
	var text bytes.Buffer
	if err := r.templates[p.Name].ExecuteTemplate(&yield.Writer{Writer: &text}, "layout.html", view); err != nil {
		level.Error(r.Logger).Log("msg", "cannot make a page", "page", p.Name, "err", err)
		http.Error(w, "The page cannot be made; see the log.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", p.Tag())
	h.Add("Vary", "Accept-Language")
	h.Set("Cache-Control", "no-cache")
	secure(h)
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes()) // the client is gone: nothing can be done
}

func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", policy)
}

// errorView is a page that says why there is no other.
type errorView struct {
	*page
	Heading, Said string
}

// wantsHTML reports whether a browser asks, rather than a program.
func wantsHTML(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// fail answers a browser with a page, and other clients with a line.
func (r *renderer) fail(w http.ResponseWriter, request *http.Request, status int, key string, args ...any) {
	p := r.newPage(request, "error", strings.TrimPrefix(strings.TrimPrefix(request.URL.Path, r.Prefix), "/"))
	heading, said := p.T("error."+key), p.T("error."+key+".advice", args...)
	if !wantsHTML(request) {
		w.Header().Add("Vary", "Accept, Accept-Language")
		http.Error(w, heading+" "+said, status)
		return
	}
	p.Title = heading
	r.write(w, p, status, errorView{p, heading, said})
}
