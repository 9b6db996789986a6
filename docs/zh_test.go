package docs_test

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weixin_exporter/internal/repotest"
)

// The Chinese documents say what the English ones say. This compares what needs no understanding: headings, code, names,
// numbers, links and tables, section by section. After a change to an English document, the sections named here are behind.

// translations returns the paths of the Chinese documents, by the paths of the English ones.
func translations(t *testing.T) map[string]string {
	t.Helper()
	pairs := map[string]string{"README.md": "README.zh-CN.md"}
	for _, chinese := range repotest.Glob(t, "docs/zh/*.md") {
		pairs["docs/"+path.Base(chinese)] = chinese
	}
	return pairs
}

func TestChineseDocumentsFollow(t *testing.T) {
	pairs := translations(t)
	for _, needed := range []string{"weixin", "tokens", "callbacks", "alerts", "troubleshooting", "history", "high-availability"} {
		if pairs["docs/"+needed+".md"] == "" {
			t.Errorf("docs/zh lacks %s.md", needed)
		}
	}
	for english, chinese := range pairs {
		want, got := sections(repotest.Text(t, english)), sections(onlyChinese.ReplaceAllString(repotest.Text(t, chinese), ""))
		for i := range max(len(want), len(got)) {
			if i >= len(want) || i >= len(got) || want[i].level != got[i].level {
				t.Errorf("%s has other headings than %s from the section %q on (%d, want %d)", chinese, english, want[min(i, len(want)-1)].heading, len(got), len(want))
				break
			}
			compareSections(t, chinese, english, got[i], want[i])
		}
	}
}

// onlyChinese matches what only readers in China need, such as a proxy for Go modules.
var onlyChinese = regexp.MustCompile(`(?s)<!-- zh: begin -->.*?<!-- zh: end -->\n?`)

func compareSections(t *testing.T, chinese, english string, got, want section) {
	t.Helper()
	report := func(what string, lacking, strange []string) {
		t.Helper()
		if len(lacking)+len(strange) > 0 {
			t.Errorf("%s, section %q (%q in %s): lacks the %s %q, has %q instead", chinese, got.heading, want.heading, english, what, lacking, strange)
		}
	}
	if !slices.EqualFunc(got.blocks, want.blocks, sameBlock) {
		report("code", without(want.blocks, got.blocks), without(got.blocks, want.blocks))
	}
	report("names", without(want.names, got.names), without(got.names, want.names))
	report("numbers", without(want.numbers, append(got.numbers, got.figures...)), without(got.numbers, append(want.numbers, want.figures...)))
	report("links", without(targets(want, english), targets(got, chinese)), without(targets(got, chinese), targets(want, english)))
	if got.items != want.items {
		t.Errorf("%s, section %q (%q in %s): %d items of lists, want %d", chinese, got.heading, want.heading, english, got.items, want.items)
	}
	if got.rows != want.rows {
		t.Errorf("%s, section %q (%q in %s): %d rows of tables, want %d", chinese, got.heading, want.heading, english, got.rows, want.rows)
	}
}

// sameBlock compares two blocks of code. What check --online writes is in the language of the document: TestDocsExamination compares it.
func sameBlock(chinese, english string) bool {
	return chinese == english || strings.Contains(chinese, "处理方法：") && strings.Contains(english, "What to do: ")
}

// section is a part of a document below a heading.
type section struct {
	heading string
	level   int
	blocks  []string // of code, without comments
	names   []string // in backticks
	numbers []string
	figures []string // numbers that are words in English
	links   []string
	rows    int // of tables
	items   int // of lists
}

var (
	codeBlock = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	codeSpan  = regexp.MustCompile("`([^`\n]+)`")
	linkEnd   = regexp.MustCompile(`\]\(([^)]+)\)|<(http[^>]+)>`)
	number    = regexp.MustCompile(`\d+(?:[.,:/-]\d+)*`)
	words     = map[string]string{
		"no": "0", "none": "0", "one": "1", "a": "1", "an": "1", "once": "1", "first": "1", "single": "1", "two": "2", "both": "2", "second": "2", "half": "2", "twice": "2",
		"three": "3", "third": "3", "four": "4", "five": "5", "six": "6", "sixth": "6", "seven": "7", "eight": "8", "ten": "10", "tenth": "10", "ninth": "9", "weekday": "7",
		"nine": "9", "twelve": "12", "sixteen": "16", "twenty": "20", "thirty": "30", "noon": "12:00", "midnight": "0", "hundred": "100", "hundredth": "100", "thousand": "1000",
		"thousands": "1000", "million": "1000000", "quarter": "15", "week": "7", "december": "12", "january": "1",
	}
)

// sections cuts a document at its headings.
func sections(text string) []section {
	var list []section
	var body strings.Builder
	flush := func() {
		if len(list) > 0 {
			list[len(list)-1].read(body.String())
		}
		body.Reset()
	}
	code := false
	for line := range strings.SplitSeq(text, "\n") {
		code = code != strings.HasPrefix(line, "```")
		if heading := strings.TrimLeft(line, "#"); !code && heading != line && strings.HasPrefix(heading, " ") {
			flush()
			list = append(list, section{heading: strings.TrimSpace(heading), level: len(line) - len(heading)})
			continue
		}
		body.WriteString(line + "\n")
	}
	flush()
	return list
}

// read finds what is compared in the text of a section.
func (s *section) read(text string) {
	comment := regexp.MustCompile(`(?m)(^|\s)#.*$`)
	for _, block := range codeBlock.FindAllStringSubmatch(text, -1) {
		code := block[2]
		if block[1] != "text" {
			code = comment.ReplaceAllString(code, "")
		}
		var lines []string
		for line := range strings.SplitSeq(code, "\n") {
			if line = strings.TrimRight(line, " "); line != "" {
				lines = append(lines, line)
			}
		}
		s.blocks = append(s.blocks, block[1]+"\n"+strings.Join(lines, "\n"))
	}
	text = codeBlock.ReplaceAllString(text, "")
	for _, name := range codeSpan.FindAllStringSubmatch(text, -1) {
		s.names = append(s.names, strings.Replace(name[1], "# 阈值", "# Threshold", 1)) // as in the alerts
	}
	for _, link := range linkEnd.FindAllStringSubmatch(text, -1) {
		s.links = append(s.links, link[1]+link[2])
	}
	text = linkEnd.ReplaceAllString(codeSpan.ReplaceAllString(text, ""), "]")
	s.rows = len(regexp.MustCompile(`(?m)^\|`).FindAllString(text, -1))
	s.items = len(regexp.MustCompile(`(?m)^ *(?:-|\d+\.) `).FindAllString(text, -1))
	for _, found := range number.FindAllString(text, -1) {
		s.numbers = append(s.numbers, strings.ReplaceAll(found, ",", ""))
	}
	for word := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return r < 'a' || r > 'z' }) {
		if figure := words[word]; figure != "" {
			s.figures = append(s.figures, figure)
		}
	}
	for _, list := range []*[]string{&s.names, &s.numbers, &s.figures} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

// targets returns what a section links to: the files, whatever their language, and the addresses elsewhere.
func targets(s section, document string) []string {
	var list []string
	for _, link := range s.links {
		if file, _, _ := strings.Cut(link, "#"); file != "" && !strings.Contains(file, "://") {
			link = path.Join(path.Dir(document), file)
			link = strings.Replace(strings.Replace(link, "/zh/", "/", 1), ".zh-CN.md", ".md", 1)
		}
		if strings.HasPrefix(link, "#") {
			link = "(a section of the same document)"
		}
		list = append(list, link)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// without returns what is in one list and not in the other.
func without(list, other []string) []string {
	var rest []string
	for _, item := range list {
		if !slices.Contains(other, item) && !slices.Contains(other, plain(item)) {
			rest = append(rest, item)
		}
	}
	return rest
}

// plain returns a number without zeros at its beginning.
func plain(text string) string {
	if n, err := strconv.Atoi(text); err == nil {
		return strconv.Itoa(n)
	}
	return text
}
