package translation

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

const (
	englishGuide = "weixin-exporter.example/docs/alerts.md"
	chineseGuide = "weixin-exporter.example/docs/zh/alerts.md"
)

var (
	commentLine    = regexp.MustCompile(`^( *)#(.*)$`)
	annotationLine = regexp.MustCompile(`^( +)(summary|description): (.*)$`)
)

// Rules translates the comments and annotations of a file of recording rules and alerts. All other lines stay.
func (t *Table) Rules(source string) (string, error) { return t.yaml(source, t.template, true) }

// RuleTests translates the annotations that promtool's unit tests expect. The templates are those of the English
// rules, from which the texts were made.
func (t *Table) RuleTests(source, rules string) (string, error) {
	r, err := t.renderings(rules)
	if err != nil {
		return "", err
	}
	return t.yaml(source, r.translate, false)
}

// yaml goes through the lines of a YAML file, translates the annotations and, if asked for, the comments.
func (t *Table) yaml(source string, translate func(string) (string, error), comments bool) (string, error) {
	lines := strings.Split(source, "\n")
	var out []string
	var faults []error
	for i := 0; i < len(lines); {
		if comments && commentLine.MatchString(lines[i]) {
			text, n, err := t.comment(lines[i:])
			faults = append(faults, err)
			out = append(out, text...)
			i += n
			continue
		}
		if a := annotationAt(lines[i:]); a.lines > 0 {
			zh, err := translate(a.text)
			faults = append(faults, err)
			out = append(out, a.key+" >-", indentation(lines[i])+"  "+zh)
			i += a.lines
			continue
		}
		out = append(out, lines[i])
		i++
	}
	return strings.ReplaceAll(strings.Join(out, "\n"), englishGuide, chineseGuide), errors.Join(faults...)
}

// comment translates the paragraph that the lines begin with, and returns the number of its lines, too. An empty comment and one
// that is indented, such as a command, stay. A threshold is a paragraph of its own.
func (t *Table) comment(lines []string) ([]string, int, error) {
	first := commentLine.FindStringSubmatch(lines[0])
	if stays(first[2]) {
		return lines[:1], 1, nil
	}
	var words []string
	n := 0
	for _, line := range lines {
		match := commentLine.FindStringSubmatch(line)
		if match == nil || match[1] != first[1] || stays(match[2]) || n > 0 && strings.HasPrefix(match[2], " Threshold: ") {
			break
		}
		words = append(words, strings.TrimSpace(match[2]))
		n++
	}
	zh, err := t.text(strings.Join(words, " "))
	var out []string
	for line := range strings.SplitSeq(zh, "\n") {
		out = append(out, first[1]+"# "+line)
	}
	return out, n, err
}

func stays(comment string) bool {
	return strings.TrimSpace(comment) == "" || strings.HasPrefix(comment, "   ")
}

// annotation is one in a YAML file: its key, with indentation and colon, its text, and the number of its lines.
type annotation struct {
	key, text string
	lines     int
}

// annotationAt returns the annotation that the lines begin with, of no lines if they do not begin with one.
func annotationAt(lines []string) annotation {
	match := annotationLine.FindStringSubmatch(lines[0])
	if match == nil {
		return annotation{}
	}
	a := annotation{key: match[1] + match[2] + ":", text: match[3], lines: 1}
	if a.text != ">-" {
		var text string // without the quotes, if it has some
		if err := yaml.Unmarshal([]byte(a.text), &text); err == nil {
			a.text = text
		}
		return a
	}
	var words []string
	for ; a.lines < len(lines) && len(indentation(lines[a.lines])) > len(match[1]); a.lines++ {
		words = append(words, strings.TrimSpace(lines[a.lines]))
	}
	a.text = strings.Join(words, " ")
	return a
}

func indentation(line string) string {
	return line[:len(line)-len(strings.TrimLeft(line, " "))]
}

// rendering is what a template makes of an alert: the English text as an expression that finds the values of the actions, and
// the Chinese one with the actions.
type rendering struct {
	english *regexp.Regexp
	actions []string
	chinese []token
}

type renderings []rendering

// renderings returns all that the annotations of the rules can become: one for each branch of a condition. Those
// with fewer values come first, since they match less.
func (t *Table) renderings(rules string) (renderings, error) {
	var all renderings
	var faults []error
	lines := strings.Split(rules, "\n")
	for i := range lines {
		a := annotationAt(lines[i:])
		if a.lines == 0 {
			continue
		}
		zh, err := t.template(a.text)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		all = append(renderings{newRendering(a.text, zh, true)}, all...)
		all = append(all, newRendering(a.text, zh, false))
	}
	return all, errors.Join(faults...)
}

// newRendering returns what a template becomes with the first or the second branch of its conditions.
func newRendering(en, zh string, second bool) rendering {
	r := rendering{chinese: branch(tokens(zh), second)}
	var expression strings.Builder
	for _, piece := range branch(tokens(en), second) {
		if !piece.action {
			expression.WriteString(regexp.QuoteMeta(piece.text))
			continue
		}
		expression.WriteString("(.*?)")
		r.actions = append(r.actions, piece.text)
	}
	r.english = regexp.MustCompile("(?s)^" + expression.String() + "$")
	return r
}

// translate returns the Chinese text for a rendered English one.
func (all renderings) translate(en string) (string, error) {
	for _, r := range all {
		values := r.english.FindStringSubmatch(en)
		if values == nil {
			continue
		}
		var text strings.Builder
		for _, piece := range r.chinese {
			if !piece.action {
				text.WriteString(piece.text)
				continue
			}
			for i, name := range r.actions {
				if name == piece.text {
					text.WriteString(values[i+1])
					break
				}
			}
		}
		return text.String(), nil
	}
	return "", fmt.Errorf("no annotation of an alert becomes %q", en)
}

// token is a piece of a template: text, or an action. A loop is one action.
type token struct {
	text   string
	action bool
}

var control = regexp.MustCompile(`^\{\{-? *(if|with|range|else|end)\b`)

// tokens cuts a template into pieces, without the space that its trim markers take away.
func tokens(text string) []token {
	var list []token
	var loop strings.Builder // the loop so far
	add := func(piece token) {
		if loop.Len() > 0 {
			loop.WriteString(piece.text)
			return
		}
		list = append(list, piece)
	}
	at := 0
	for _, span := range append(action.FindAllStringIndex(text, -1), []int{len(text), len(text)}) {
		between, act := text[at:span[0]], text[span[0]:span[1]]
		if at > 0 && strings.HasSuffix(text[:at], "-}}") {
			between = strings.TrimLeft(between, " ")
		}
		if strings.HasPrefix(act, "{{-") {
			between = strings.TrimRight(between, " ")
		}
		add(token{text: between})
		at = span[1]
		kind := ""
		if match := control.FindStringSubmatch(act); match != nil {
			kind = match[1]
		}
		switch {
		case kind == "range":
			loop.WriteString(act)
		case kind == "end" && loop.Len() > 0:
			whole := loop.String() + act
			loop.Reset()
			add(token{text: whole, action: true})
		case act != "":
			add(token{text: act, action: true})
		}
	}
	return list
}

// branch returns the tokens with the first or the second branch of each condition, without the condition.
func branch(list []token, second bool) []token {
	const outside, inFirst, inSecond = 0, 1, 2
	at := outside
	var taken []token
	for _, piece := range list {
		kind := ""
		if match := control.FindStringSubmatch(piece.text); piece.action && match != nil {
			kind = match[1]
		}
		switch {
		case kind == "if" || kind == "with":
			at = inFirst
		case kind == "else":
			at = inSecond
		case kind == "end":
			at = outside
		case at == outside || (at == inSecond) == second:
			taken = append(taken, piece)
		}
	}
	return taken
}
