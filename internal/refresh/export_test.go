package refresh

// Pure functions of the planner, for table tests.
var (
	DueCalls = dueCalls
	CallsFor = callsFor
)

// FingerprintOf returns the fingerprint of the credentials of an account in its holds.
func FingerprintOf(a Account) []byte { return a.fingerprint(nil) }
