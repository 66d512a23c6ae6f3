package registration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func contact(uri string, expires time.Duration) Contact {
	return Contact{URI: uri, Key: uri, Q: 1, Expires: expires}
}

func update(callID string, seq uint32, cs ...Contact) Update[string] {
	return Update[string]{Party: "edge", AOR: "sip:a@x", CallID: callID, Seq: seq, Contacts: cs, Expires: -1, Way: "w"}
}

// words tells the bindings with the seconds that they still live.
func words(now time.Time, list []Binding[string]) string {
	var out []string
	for _, b := range list {
		out = append(out, fmt.Sprintf("%s %.0f", b.Contact.URI, b.Until.Sub(now).Seconds()))
	}
	return strings.Join(out, ", ")
}

// Conforms: RFC 3261 section 10.3; RFC 3261 section 10.2.1.1; RFC 3261 section 10.2.2
func TestTheRegistrarFollowsItsSteps(t *testing.T) {
	star := func(callID string, seq uint32, expires time.Duration) Update[string] {
		u := update(callID, seq)
		u.All, u.Expires = true, expires
		return u
	}
	for name, row := range map[string]struct {
		steps  []Update[string]
		status int
		want   string
	}{
		"one contact":                     {steps: []Update[string]{update("1", 1, contact("a", 100*time.Second))}, want: "a 100"},
		"the header counts":               {steps: []Update[string]{func() Update[string] { u := update("1", 1, contact("a", -1)); u.Expires = 90 * time.Second; return u }()}, want: "a 90"},
		"an hour without a word":          {steps: []Update[string]{update("1", 1, contact("a", -1))}, want: "a 3600"},
		"two hours at most":               {steps: []Update[string]{update("1", 1, contact("a", 30*24*time.Hour))}, want: "a 7200"},
		"a query changes nothing":         {steps: []Update[string]{update("1", 1, contact("a", 100*time.Second)), update("1", 2)}, want: "a 100"},
		"a second contact":                {steps: []Update[string]{update("1", 1, contact("a", 100*time.Second)), update("2", 1, contact("b", 200*time.Second))}, want: "a 100, b 200"},
		"by preference":                   {steps: []Update[string]{update("1", 1, Contact{URI: "a", Key: "a", Q: 0.2, Expires: time.Minute}, contact("b", time.Minute))}, want: "b 60, a 60"},
		"a refresh":                       {steps: []Update[string]{update("1", 1, contact("a", 100*time.Second)), update("1", 2, contact("a", 300*time.Second))}, want: "a 300"},
		"another device takes it over":    {steps: []Update[string]{update("1", 9, contact("a", 100*time.Second)), update("2", 1, contact("a", 300*time.Second))}, want: "a 300"},
		"out of order":                    {steps: []Update[string]{update("1", 2, contact("a", 100*time.Second)), update("1", 1, contact("a", 0))}, status: 500, want: "a 100"},
		"the same number again":           {steps: []Update[string]{update("1", 2, contact("a", 100*time.Second)), update("1", 2, contact("a", 0))}, status: 500, want: "a 100"},
		"removed":                         {steps: []Update[string]{update("1", 1, contact("a", 100*time.Second), contact("b", 100*time.Second)), update("1", 2, contact("a", 0))}, want: "b 100"},
		"removed before it was there":     {steps: []Update[string]{update("1", 1, contact("a", 0))}, want: ""},
		"all removed":                     {steps: []Update[string]{update("1", 1, contact("a", 100*time.Second)), star("1", 2, 0)}, want: ""},
		"all removed, out of order":       {steps: []Update[string]{update("1", 3, contact("a", 100*time.Second)), star("1", 2, 0)}, status: 500, want: "a 100"},
		"a star with a time":              {steps: []Update[string]{update("1", 1, contact("a", 100*time.Second)), star("1", 2, time.Minute)}, status: 400, want: "a 100"},
		"a star without a time":           {steps: []Update[string]{star("1", 2, -1)}, status: 400, want: ""},
		"too brief":                       {steps: []Update[string]{update("1", 1, contact("a", 59*time.Second))}, status: 423, want: ""},
		"all or nothing":                  {steps: []Update[string]{update("1", 1, contact("a", 100*time.Second), contact("b", 5*time.Second))}, status: 423, want: ""},
		"more contacts than one may have": {steps: []Update[string]{update("1", 1, many(MaxContacts+1)...)}, status: 403, want: ""},
	} {
		var r Records[string]
		var refusal *Refusal
		for _, u := range row.steps {
			_, refusal = r.Apply(noon, u)
		}
		status := 0
		if refusal != nil {
			status = refusal.Status
		}
		if got := words(noon, r.Of(noon, "edge")); got != row.want || status != row.status || status == 423 && refusal.Min != MinExpires {
			t.Errorf("%s: %q and %d, want %q and %d", name, got, status, row.want, row.status)
		}
	}
}

func many(n int) []Contact {
	var out []Contact
	for i := range n {
		out = append(out, contact(fmt.Sprint("c", i), time.Minute))
	}
	return out
}

func TestBindingsEndByTimeByLossAndByBound(t *testing.T) {
	var r Records[string]
	if !r.Next().IsZero() {
		t.Error("something ends in an empty memory")
	}
	u := update("1", 1, contact("a", 100*time.Second))
	r.Apply(noon, u)
	u.AOR, u.Way, u.Contacts = "sip:b@x", "other", []Contact{contact("b", 200*time.Second)}
	r.Apply(noon, u)
	if got := r.Next(); got != noon.Add(100*time.Second) {
		t.Error("the first end:", got)
	}
	if got := words(noon, r.Of(noon.Add(100*time.Second), "edge")); got != "b 200" {
		t.Error("an old binding is given:", got)
	}
	if got := r.Drop(func(b Binding[string]) bool { return b.Way == "other" }); !slices.Equal(got, []string{"edge"}) {
		t.Error(got)
	}
	if got := r.Drop(func(Binding[string]) bool { return true }); !slices.Equal(got, []string{"edge"}) || len(r.byParty) != 0 {
		t.Error(got, r.byParty)
	}
	for i := range MaxRecords + 1 {
		u.AOR = fmt.Sprint("sip:", i)
		if _, refusal := r.Apply(noon, u); (refusal != nil) != (i == MaxRecords) {
			t.Fatal(i, refusal)
		}
	}
}

func registrant(chance float64) *Registrant {
	return &Registrant{Expires: time.Hour, Chance: func() float64 { return chance }}
}

// Conforms: RFC 3261 section 10.2.4; RFC 5626 section 4.5
func TestARefreshComesBetweenHalfAndNineTenths(t *testing.T) {
	for _, row := range []struct {
		granted time.Duration
		chance  float64
		want    time.Duration
	}{
		{time.Hour, 0, 30 * time.Minute},
		{time.Hour, 0.5, 42 * time.Minute},
		{time.Hour, 1, 54 * time.Minute},
		{5 * time.Minute, 0, 150 * time.Second},
		{5 * time.Minute, 1, 210 * time.Second},
		{90 * time.Second, 1, 50 * time.Second}, // time for one more try
		{60 * time.Second, 1, 30 * time.Second},
		{0, 1, 5 * time.Second},
	} {
		r := registrant(row.chance)
		r.Accepted(noon, row.granted)
		if got := r.next.Sub(noon); got != row.want {
			t.Errorf("%v granted, chance %v: refreshed after %v, want %v", row.granted, row.chance, got, row.want)
		}
		if r.State() != Registered || r.Bound(noon) != (row.granted > 0) || r.Bound(noon.Add(row.granted)) {
			t.Error(r.State(), r.Until())
		}
	}
}

// Conforms: RFC 3261 section 10.2.7; RFC 3261 section 10.2.8; RFC 5626 section 4.5; RFC 3261 section 20.33
func TestFailuresAreMetAsTheyAre(t *testing.T) {
	r := registrant(1)
	for i, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 30 * time.Minute, 30 * time.Minute} {
		r.Lost(noon, "no answer")
		if got := r.next.Sub(noon); got != want {
			t.Errorf("failure %d: %v, want %v", i+1, got, want)
		}
	}
	low := registrant(0)
	low.Lost(noon, "no answer")
	if got := low.next.Sub(noon); got != 30*time.Second {
		t.Error("half at least:", got)
	}
	r.Accepted(noon, time.Hour)
	r.Lost(noon.Add(time.Minute), "no answer")
	if !r.Bound(noon.Add(59*time.Minute)) || r.next.Sub(noon) != 2*time.Minute {
		t.Error("one lost refresh ends no binding, and success starts the wait anew:", r.next.Sub(noon))
	}
	for _, row := range []struct {
		status int
		pause  time.Duration
		wait   time.Duration
		state  State
		bound  bool
	}{
		{403, 0, 30 * time.Minute, Refused, false},
		{404, 0, 30 * time.Minute, Refused, false},
		{401, 0, 30 * time.Minute, Refused, false},
		{603, 2 * time.Hour, time.Hour, Refused, false},
		{503, 100 * time.Second, 110 * time.Second, Failed, true},
		{503, 24 * time.Hour, 66 * time.Minute, Failed, true},
		{503, 0, time.Minute, Failed, true},
		{500, 0, time.Minute, Failed, true},
		{408, 0, time.Minute, Failed, true},
	} {
		r := registrant(1)
		r.Accepted(noon, time.Hour)
		if r.Answered(noon, row.status, row.pause, 0) {
			t.Error("again at once after", row.status)
		}
		if got := r.next.Sub(noon); got != row.wait || r.State() != row.state || r.Bound(noon) != row.bound || !strings.Contains(r.Why(), fmt.Sprint(row.status)) {
			t.Errorf("%d: %v %v %v %q", row.status, got, r.State(), r.Bound(noon), r.Why())
		}
	}
	if !r.Answered(noon, 423, 0, 2*time.Hour) || r.Expires != 2*time.Hour {
		t.Error("423 asks for a longer time:", r.Expires)
	}
	if r.Answered(noon, 423, 0, 2*time.Hour) || r.Answered(noon, 423, 0, 240*time.Hour) {
		t.Error("a 423 that asks for what it got, or for days")
	}
}

func TestARegistrantIsHastenedAndStopped(t *testing.T) {
	r := registrant(0.5)
	if !r.Due(noon) || r.State() != Waiting {
		t.Error("the first is due at once")
	}
	r.Sent(noon)
	if r.Due(noon.Add(time.Minute)) {
		t.Error("due while one is under way")
	}
	r.Accepted(noon, time.Hour)
	r.Hasten(noon, 2*time.Second)
	if r.Due(noon.Add(999*time.Millisecond)) || !r.Due(noon.Add(time.Second)) {
		t.Error("not spread:", r.next.Sub(noon))
	}
	r.Hasten(noon, time.Hour)
	if !r.Due(noon.Add(time.Second)) {
		t.Error("to hasten never delays")
	}
	since := r.Since()
	r.Accepted(noon.Add(time.Minute), time.Hour)
	if r.Since() != since {
		t.Error("a refresh is no new state")
	}
	r.Stopped(noon, "held")
	if r.Bound(noon) || r.State() != Failed || r.Why() != "held" {
		t.Error(r.State(), r.Why())
	}
	for s, want := range map[State]string{Waiting: "waiting", Registered: "registered", Failed: "failed", Refused: "refused"} {
		if s.String() != want {
			t.Error(s)
		}
	}
}
