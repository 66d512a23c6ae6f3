package report

import (
	"encoding/json"
	"strings"
	"time"
)

// Text is a text that nobody may have written: "" is null in JSON, and "not recorded" on the page.
type Text string

// notRecorded is what the page says where nobody filled a field.
const notRecorded = "not recorded"

// MarshalJSON implements json.Marshaler.
func (t Text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}

// Said is the text for people.
func (t Text) Said() string {
	if strings.TrimSpace(string(t)) == "" {
		return notRecorded
	}
	return string(t)
}

// Moment is a time that may not have come: the zero time is null in JSON. RFC 3339 with nanoseconds, UTC.
type Moment struct{ time.Time }

// At gives a moment.
func At(t time.Time) Moment { return Moment{t.UTC()} }

// MarshalJSON implements json.Marshaler.
func (m Moment) MarshalJSON() ([]byte, error) {
	if m.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(m.UTC())
}

// Said is the moment for people, to the second.
func (m Moment) Said() string {
	if m.IsZero() {
		return notRecorded
	}
	return stamp(m.Time)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// ptr is for figures that may not have been measured.
func ptr[T any](v T) *T { return &v }
