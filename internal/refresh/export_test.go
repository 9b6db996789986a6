package refresh

// Pure functions of the planner, for table tests.
var (
	DueCalls = dueCalls
	CallsFor = callsFor
)
