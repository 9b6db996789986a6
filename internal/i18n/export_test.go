package i18n

// Forms is a text, for the tests of the tables.
type Forms struct{ One, Other string }

// PartSizes returns the number of texts in each part of each language.
func PartSizes() [Languages][]int {
	var sizes [Languages][]int
	for l, own := range parts() {
		for _, part := range own {
			sizes[l] = append(sizes[l], len(part()))
		}
	}
	return sizes
}

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
