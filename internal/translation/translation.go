// Package translation makes the Chinese alerts and boards from the English ones and a table of texts. Queries, names
// of series and labels, times and colors stay as they are.
package translation

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Table has the Chinese text for each English one. It remembers which of them were used.
type Table struct {
	chinese map[string]string
	used    map[string]bool
}

// ReadTable reads a table: a list of pairs en and zh. A placeholder such as {2} stands for the second template action of
// a text, {{…}}.
func ReadTable(data []byte) (*Table, error) {
	var pairs []struct{ En, Zh string }
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithKnownFields())
	if err == nil {
		err = loader.Load(&pairs)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the table of texts: %w", err)
	}
	t := &Table{chinese: map[string]string{}, used: map[string]bool{}}
	var faults []error
	for _, pair := range pairs {
		en := strings.TrimSpace(pair.En)
		if _, twice := t.chinese[en]; twice {
			faults = append(faults, fmt.Errorf("%q is in the table twice", en))
		}
		t.chinese[en] = strings.TrimSpace(pair.Zh)
		faults = append(faults, checkPair(en, pair.Zh))
	}
	return t, errors.Join(faults...)
}

var (
	placeholder = regexp.MustCompile(`\{(\d+)\}`)
	han         = regexp.MustCompile(`\p{Han}`)
	letter      = regexp.MustCompile(`\pL`)
)

// checkPair demands Chinese, and in it the placeholders of the English text, each once. A name of one or two words may be in
// Latin letters, as Weixin's AppID.
func checkPair(en, zh string) error {
	want, got := placeholder.FindAllString(en, -1), placeholder.FindAllString(zh, -1)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		return fmt.Errorf("%q has the placeholders %q, its translation %q", en, want, got)
	}
	if zh == en || !han.MatchString(zh) && len(strings.Fields(en)) > 2 {
		return fmt.Errorf("%q is not translated: %q", en, zh)
	}
	return nil
}

// has reports whether the table has the text.
func (t *Table) has(en string) bool {
	_, ok := t.chinese[en]
	return ok
}

// text returns the translation of a text without template actions. A text without letters stays.
func (t *Table) text(en string) (string, error) {
	if !letter.MatchString(en) {
		return en, nil
	}
	zh, ok := t.chinese[en]
	if !ok {
		return "", fmt.Errorf("the table of texts lacks %q", en)
	}
	t.used[en] = true
	return zh, nil
}

var action = regexp.MustCompile(`(?s)\{\{.*?\}\}`)

// template returns the translation of a text with template actions, which stay as they are.
func (t *Table) template(en string) (string, error) {
	actions := action.FindAllString(en, -1)
	n := 0
	numbered := action.ReplaceAllStringFunc(en, func(string) string {
		n++
		return fmt.Sprintf("{%d}", n)
	})
	zh, err := t.text(numbered)
	if err != nil {
		return "", err
	}
	return placeholder.ReplaceAllStringFunc(zh, func(mark string) string {
		var i int
		if _, err := fmt.Sscanf(mark, "{%d}", &i); err != nil || i < 1 || i > len(actions) {
			return mark
		}
		return actions[i-1]
	}), nil
}

// Unused returns the English texts that no translation has asked for, sorted.
func (t *Table) Unused() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(t.chinese)), func(en string) bool { return t.used[en] })
}
