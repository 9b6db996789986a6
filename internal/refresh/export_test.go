package refresh

// The pure functions of the planner, for their tables of tests.
var (
	DueCalls = dueCalls
	CallsFor = callsFor
)
