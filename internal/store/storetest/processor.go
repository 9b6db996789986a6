package storetest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// ProcessorTime returns the processor time that a process and those of its children that have ended took, to a hundredth of
// a second. It is 0 where the system has no /proc.
func ProcessorTime(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may contain spaces. From the 14th field on: utime, stime, cutime, cstime.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	var ticks int64
	for _, field := range fields[11:15] {
		n, _ := strconv.ParseInt(string(field), 10, 64) // the kernel wrote it
		ticks += n
	}
	const tick = 10 * time.Millisecond // 100 a second on all that Go runs on
	return time.Duration(ticks) * tick
}

// processors reports, for each operation of a benchmark, the processor time of this process and of the server, since
// it was called until the returned function is.
func processors(b *testing.B, p Place) func() {
	b.Helper()
	server := func() time.Duration { return 0 }
	if p.Processor != nil {
		server = p.Processor
	}
	own, others := ProcessorTime(os.Getpid()), server()
	return func() {
		b.ReportMetric(float64((ProcessorTime(os.Getpid())-own).Milliseconds())/float64(b.N), "own-ms/op")
		b.ReportMetric(float64((server()-others).Milliseconds())/float64(b.N), "server-ms/op")
	}
}
