// Package spans is the calls in the words of OpenTelemetry: it follows the audit log with a cursor and sends each receipt as one trace to a collector, as OTLP
// over HTTP in JSON.
//
// A trace says when and where a call went, on which legal ground and how it sounded; it has no number, no name and no pseudonym of a person. The log is the
// queue, so a collector that is slow or gone costs traces and never a call: what cannot be sent is counted and left behind.
// It imports audit, notify, sovereign and state.
package spans
