// Package text makes texts fit for messages: it joins and shortens them, and takes out of errors what must not be shown.
package text

import (
	"fmt"
	"strings"
)

// maxNames is the number of names that List writes out.
const maxNames = 5

// List joins names with commas. Of many it names the first few and counts the rest.
func List(names []string) string {
	if len(names) > maxNames {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], ", "), len(names)-maxNames)
	}
	return strings.Join(names, ", ")
}
