package quality

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// street is one side of a call whose seconds a test writes down: each letter of a string is one second of
//
//	.  nothing      r  RTP comes     c  RTCP comes, its report advances       s  RTCP comes, its report stands still
//	R  RTP and a report that advances      S  RTP and a report that stands still
//	h  the call is on hold      H  on hold, and RTP comes all the same
//	o  only this side was told not to send
type street struct {
	l   Liveness
	k   Look
	lim Limits
}

func (s *street) run(script string) []string {
	var got []string
	for _, ch := range script {
		s.k.Now += second
		if strings.ContainsRune("rRSH", ch) {
			s.k.RTP = s.k.Now
		}
		if strings.ContainsRune("cRsS", ch) {
			s.k.RTCP = s.k.Now
			s.k.Reports++
		}
		if strings.ContainsRune("cR", ch) {
			s.k.Highest += 50
		}
		held := ch == 'h' || ch == 'H'
		s.k.Sends, s.k.Hears = !held && ch != 'o', !held
		if !held {
			s.k.Sent += 50
		}
		if e, ok := s.l.Step(s.lim, s.k); ok {
			word := fmt.Sprintf("%s@%d for %d", e.State, s.k.Now/second, e.For/time.Duration(second))
			if e.Held {
				word += " held"
			}
			got = append(got, word)
		}
	}
	return got
}

func TestLiveness(t *testing.T) {
	for name, c := range map[string]struct {
		lim    Limits
		script string
		want   []string
	}{
		"speech":                                 {Limits{}, "rrrrrrrrrrrrrrr", nil},
		"never a packet":                         {Limits{}, ".......", []string{"silent@6 for 5"}},
		"a break of four seconds":                {Limits{}, "r....r....r....r", nil},
		"a break and a return":                   {Limits{}, "r.......rr", []string{"silent@6 for 5", "alive@9 for 8"}},
		"told once":                              {Limits{}, "r" + strings.Repeat(".", 20), []string{"silent@6 for 5"}},
		"dead in the end":                        {Limits{}, "r" + strings.Repeat(".", 40), []string{"silent@6 for 5", "dead@31 for 30"}},
		"RTCP is life":                           {Limits{}, "r" + strings.Repeat("....c", 20), []string{"silent@6 for 5"}},
		"back from the dead":                     {Limits{}, "r" + strings.Repeat(".", 30) + "r", []string{"silent@6 for 5", "dead@31 for 30", "alive@32 for 31"}},
		"from dead to silent by RTCP":            {Limits{}, "r" + strings.Repeat(".", 30) + "c", []string{"silent@6 for 5", "dead@31 for 30", "silent@32 for 31"}},
		"hold":                                   {Limits{}, "r" + strings.Repeat("h", 60), nil},
		"hold ends the silence":                  {Limits{}, "r.......hhhhhhhhhhhhh", []string{"silent@6 for 5", "alive@9 for 8 held"}},
		"after a hold it starts anew":            {Limits{}, "rhhhhhhhhhh....rrr", nil},
		"after a hold nothing comes":             {Limits{}, "rhhhhhhhhhh......", []string{"silent@17 for 5"}},
		"packets on hold are none of ours":       {Limits{}, "rHHHHHHHHHhhhhhhhhh", nil},
		"told not to send":                       {Limits{}, "r" + strings.Repeat("o", 60), nil},
		"heard":                                  {Limits{}, "rrrrRrrrrRrrrrR", nil},
		"unheard":                                {Limits{}, "rrrrRrrrrSrrrrSrrrrSrr", []string{"unheard@20 for 15"}},
		"two still reports are none":             {Limits{}, "rrrrRrrrrSrrrrSrrrrR", nil},
		"heard again":                            {Limits{}, "RrrrrSrrrrSrrrrSrrrrRrr", []string{"unheard@16 for 15", "alive@21 for 20"}},
		"it never got anything":                  {Limits{}, "rrrrSrrrrSrrrrSrrrrr", []string{"unheard@15 for 14"}},
		"no RTCP says nothing":                   {Limits{}, strings.Repeat("r", 100), nil},
		"both ways broken is dead":               {Limits{}, "R....s....s....s", []string{"silent@6 for 5", "dead@16 for 15"}},
		"one way comes back":                     {Limits{}, "R....s....s....sr", []string{"silent@6 for 5", "dead@16 for 15", "unheard@17 for 16"}},
		"trouble has one beginning":              {Limits{}, "r........c....s....s....srR", []string{"silent@6 for 5", "dead@25 for 15", "unheard@26 for 16", "alive@27 for 26"}},
		"reports are not counted over a hold":    {Limits{}, "RrrrrSrrrrShhhhrrrrSrrrrSrrr", nil},
		"limits of its own":                      {Limits{Silent: 2 * time.Second, Unheard: 2, Dead: 4 * time.Second}, "r....", []string{"silent@3 for 2", "dead@5 for 4"}},
		"never fewer than two reports":           {Limits{Unheard: 1}, "RrrrrSrrrrr", nil},
		"two reports":                            {Limits{Unheard: 2}, "RrrrrSrrrrSr", []string{"unheard@11 for 10"}},
		"several reports at once count for one":  {Limits{}, "RrrrSSr", nil},
		"silence counts from when it may speak":  {Limits{}, "ooooooooo....r", nil},
		"unheard while it may not send is shown": {Limits{}, "RoooosoooosooooS", []string{"unheard@16 for 15"}},
	} {
		s := &street{lim: c.lim}
		if name == "several reports at once count for one" {
			s.k.Reports = 40
			s.run("R")
			s.k.Reports += 5
			s.run("rrrS")
			c.script = "rrr"
		}
		if got := s.run(c.script); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}

func TestFewPacketsProveNothing(t *testing.T) {
	var l Liveness
	k := Look{Now: second, RTP: second, Sends: true, Hears: true, Highest: 5}
	for range 10 {
		k.Now += 5 * second
		k.RTP, k.Sent, k.Reports = k.Now, k.Sent+1, k.Reports+1
		e, ok := l.Step(Limits{}, k)
		if ok && k.Sent < 3*leastSent {
			t.Fatalf("%+v after %d packets", e, k.Sent)
		}
	}
}

func TestAnotherStreamIsHeardAnew(t *testing.T) {
	s := &street{}
	s.run("RrrrrSrrrrS")
	s.k.Sent, s.k.Reports = 0, 0 // another leg in its place
	if got := s.run("rrrrSrrrr"); got != nil {
		t.Errorf("%q", got)
	}
}

func TestSilence(t *testing.T) {
	for _, c := range []struct {
		script string
		want   time.Duration
	}{
		{"rrrrrrr", 0},
		{"r....r....r", 0}, // comfort noise
		{"r.......r", 8 * time.Second},
		{"r.......r.......r....", 16 * time.Second},
		{"r.......hhhhhhhhhh", 8 * time.Second},
		{"r..........", 10 * time.Second}, // still going on
		{"r" + strings.Repeat(".", 40) + "r", 41 * time.Second},
	} {
		s := &street{}
		s.run(c.script)
		if got := s.l.Silence(s.k.Now); got != c.want {
			t.Errorf("%s: %v, want %v", c.script, got, c.want)
		}
	}
}

func TestStates(t *testing.T) {
	for s, want := range map[State]string{Alive: "alive", Silent: "silent", Unheard: "unheard", Dead: "dead"} {
		if s.String() != want {
			t.Errorf("%d: %s", s, s)
		}
	}
}
