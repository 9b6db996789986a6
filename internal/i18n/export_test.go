package i18n

// Forms is a text, for the tests of the tables.
type Forms struct{ One, Other string }

// Tables returns all texts, by language and key.
func Tables() [Languages]map[string]Forms {
	var all [Languages]map[string]Forms
	for l, own := range parts() {
		all[l] = map[string]Forms{}
		for _, part := range own {
			for key, t := range part() {
				all[l][key] = Forms{t.one, t.other}
			}
		}
	}
	return all
}
