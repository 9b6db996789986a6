package translation

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
)

// What the uids of the Chinese boards end with, so that both languages can be installed beside each other.
const uidSuffix = "-zh"

var (
	stringLine = regexp.MustCompile(`^( *)"((?:[^"\\]|\\.)+)": ("(?:[^"\\]|\\.)*")(,?)$`)
	objectLine = regexp.MustCompile(`^ *(?:"([^"]+)": )?\{$`)
	orderLine  = regexp.MustCompile(`^( *)"([^"]+)": (\d+,?)$`)
	boardLink  = regexp.MustCompile(`/d/weixin-[a-z]+`)
	variable   = regexp.MustCompile(`\{\{[^}]*\}\}|\$\{[^}]*\}|\$[a-z]+`)
	// The keys whose values are shown to people.
	shown = map[string]bool{
		"title": true, "description": true, "tooltip": true, "label": true, "legendFormat": true, "noValue": true,
		"text": true, "displayName": true, "alias": true,
	}
)

// Board translates what a Grafana board shows, and gives it a uid of its own. The board has one value on each line, as jq
// writes it; the lines stay.
func (t *Table) Board(source string) (string, error) {
	lines := strings.Split(source, "\n")
	var faults []error
	objects := map[int]string{} // the keys of the open objects, by indentation
	for i, line := range lines {
		indent := len(indentation(line))
		if match := objectLine.FindStringSubmatch(line); match != nil {
			objects[indent] = match[1]
		}
		block := objects[indent-2]
		if match := orderLine.FindStringSubmatch(line); match != nil && block == "indexByName" && t.has(match[2]) {
			zh, err := t.text(match[2]) // the place of a column
			faults = append(faults, err)
			lines[i] = match[1] + quote(zh) + ": " + match[3]
		}
		match := stringLine.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		var value string
		if err := json.Unmarshal([]byte(match[3]), &value); err != nil {
			faults = append(faults, err)
			continue
		}
		key := match[2]
		zh, err := value, error(nil)
		switch {
		case key == "uid" && strings.HasPrefix(value, "weixin-"):
			zh += uidSuffix
		case key == "url":
			zh = boardLink.ReplaceAllString(value, "$0"+uidSuffix)
		case shown[key] && block != "current" || block == "renameByName",
			key == "name" && value == "Alerts":
			zh, err = t.shownText(value)
		case (key == "options" || key == "left" || key == "right") && t.has(value):
			zh, err = t.text(value) // the name of a column or series
		}
		faults = append(faults, err)
		lines[i] = match[1] + quote(key) + ": " + quote(zh) + match[4]
	}
	return strings.Join(lines, "\n"), errors.Join(faults...)
}

// shownText translates a text, unless all of it comes from labels.
func (t *Table) shownText(value string) (string, error) {
	if !letter.MatchString(variable.ReplaceAllString(value, "")) {
		return value, nil
	}
	return t.text(value)
}

// quote returns a JSON string, as jq writes it.
func quote(text string) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		return `""` // a string has no value that JSON lacks
	}
	return strings.TrimSuffix(out.String(), "\n")
}
