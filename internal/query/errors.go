package query

import (
	"context"
	"errors"
	"net/http"

	"github.com/prometheus/prometheus/promql"
)

// errorType is the class of an error as the API names it.
type errorType string

const (
	badData       errorType = "bad_data"
	execution     errorType = "execution"
	canceled      errorType = "canceled"
	timedOut      errorType = "timeout"
	internalError errorType = "internal"
	notFound      errorType = "not_found"
)

// statusClientClosed is the non-standard code that Prometheus and nginx use when the client closed the connection.
const statusClientClosed = 499

func (t errorType) status() int {
	switch t {
	case badData:
		return http.StatusBadRequest
	case execution:
		return http.StatusUnprocessableEntity
	case canceled:
		return statusClientClosed
	case timedOut:
		return http.StatusServiceUnavailable
	case notFound:
		return http.StatusNotFound
	case internalError:
		return http.StatusInternalServerError
	default:
		return http.StatusInternalServerError
	}
}

// apiError is an error with its class.
type apiError struct {
	class errorType
	err   error
}

func (e *apiError) Error() string { return e.err.Error() }

func (e *apiError) Unwrap() error { return e.err }

// classify returns the error with the class that Prometheus would give it.
func classify(err error) *apiError {
	if classified, ok := errors.AsType[*apiError](err); ok {
		return classified
	}
	if _, ok := errors.AsType[promql.ErrQueryTimeout](err); ok || errors.Is(err, errQueued) || errors.Is(err, errBusy) || errors.Is(err, context.DeadlineExceeded) {
		return &apiError{timedOut, err}
	}
	if _, ok := errors.AsType[promql.ErrQueryCanceled](err); ok || errors.Is(err, context.Canceled) {
		return &apiError{canceled, err}
	}
	if _, ok := errors.AsType[promql.ErrStorage](err); ok {
		return &apiError{internalError, err}
	}
	return &apiError{execution, err}
}
