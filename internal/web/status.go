package web

import (
	"time"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/weixin/datacube"
)

// Notice is something that is wrong with the exporter as a whole, and what to do about it.
type Notice struct {
	Title i18n.Message
	// Detail is what failed, in the words of the log.
	Detail string
	Advice i18n.Message
}

// Status is what the exporter does now, for the page about its health. Whatever is not known is the zero value.
type Status struct {
	// Started is when the process began.
	Started time.Time
	Queue   Queue
	// Calls are the requests sent to Weixin on CallsDate, in the order of their APIs and outcomes.
	Calls     []Calls
	CallsDate datacube.Date
	Store     StoreStatus
	// Receivers are the endpoints of remote write.
	Receivers []Receiver
	Config    ConfigStatus
}

// Queue is what the refresher has before it.
type Queue struct {
	// Ready are the accounts that a call is due for, Underway those that one is made for.
	Ready, Underway, Waiting int
	// Next is when the next call is due; zero if none is planned.
	Next time.Time
}

// Calls is a number of requests with one outcome.
type Calls struct {
	API string
	// Errcode is "0" for success and "http" for an answer that did not come or could not be understood.
	Errcode string
	Number  int64
}

// StoreStatus is how the store is.
type StoreStatus struct {
	Engine string
	// Path is where the store is; "" for a store in memory.
	Path string
	// OnServer is true if the store is not a file, so that its size and last write are not known.
	OnServer  bool
	Bytes     int64
	LastWrite time.Time
	// Sharing is how several exporters share the store; nil if only one can use it.
	Sharing *Sharing
}

// Sharing is how the exporters that share a store divide the accounts, by slots.
type Sharing struct {
	// Known is false if this exporter has not renewed its slots in time: then it has none, and only Renewed says more.
	Known bool
	// Wanted is the number of slots with accounts of this exporter's configuration. Of those, Owned are its own, and
	// Unowned are those of no exporter.
	Wanted, Owned, Unowned int
	// Renewed is when this exporter last renewed its slots; zero if never.
	Renewed time.Time
	// Exporters are those that are alive, this one among them.
	Exporters []SharingExporter
}

// SharingExporter is one of the exporters that share a store.
type SharingExporter struct {
	// Name says where it runs.
	Name string
	// Self is true for this exporter.
	Self bool
	// Slots is the number of its slots.
	Slots int
	// Differs is true if its configuration has other accounts than that of this one.
	Differs bool
}

// Receiver is an endpoint of remote write.
type Receiver struct {
	Label string
	// Pending is how many samples it does not have yet; -1 if that is not known yet.
	Pending int64
	// LastSuccess is when it last accepted samples; zero if never.
	LastSuccess time.Time
}

// ConfigStatus is the configuration in force.
type ConfigStatus struct {
	Since time.Time
	// Fault is why the last reload failed; "" if it did not.
	Fault   string
	FaultAt time.Time
}
