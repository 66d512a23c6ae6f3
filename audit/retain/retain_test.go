package retain

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestKeep(t *testing.T) {
	for in, want := range map[string]Keep{"5y": {5, 0}, "400d": {0, 400}, "1y30d": {1, 30}, "": {}, "5": {}, "y": {}, "-1y": {}, "31y": {}, "0d": {}, "5yx": {}, "1d1y": {}, "99999d": {}} {
		got, err := ParseKeep(in)
		if got != want || (err == nil) != (want != Keep{}) || err == nil && got.String() != in {
			t.Errorf("%q: %+v %v", in, got, err)
		}
	}
	if end := (Keep{Years: 5}).After(day("2021-11-20")); !end.Equal(day("2026-11-21")) {
		t.Errorf("five years from a day end at the end of one: %v", end)
	}
}

// TestRules: the longer class counts, a hold stands above age and wish, and a trunk that is not known is every trunk.
func TestRules(t *testing.T) {
	now := day("2026-11-22")
	r := Rules{
		Classes: []Class{
			{Name: "all", Keep: Keep{Years: 1}, Reason: "GDPR Art. 5(1)(e)"},
			{Name: "mifid", Trunks: []string{"trading"}, Keep: Keep{Years: 5}, Reason: "MiFID II Art. 16(7)", Binding: true},
		},
		Holds: []Hold{
			{ID: "h-period", From: day("2020-01-01"), To: day("2020-01-31"), Reason: "audit", By: "p-a"},
			{ID: "h-trunk", From: day("2020-03-01"), Trunk: "carrier", To: day("2020-03-31"), Reason: "dispute", By: "p-a"},
			{ID: "h-ref", Ref: "20200501-aa", Reason: "proceedings", By: "p-a"},
			{ID: "h-person", Ref: "p-b", Reason: "proceedings", By: "p-a"},
		},
	}
	for name, c := range map[string]struct {
		call   Call
		age    bool
		forget string // what keeps it; empty: it may be forgotten
	}{
		"young":                    {Call{"20261001-aa", day("2026-10-01"), "carrier"}, false, ""},
		"a year and a day":         {Call{"20251120-aa", day("2025-11-20"), "carrier"}, true, ""},
		"trading, two years":       {Call{"20241120-aa", day("2024-11-20"), "trading"}, false, "class mifid until 2029-11-21 (MiFID II Art. 16(7))"},
		"trading, six years":       {Call{"20201120-aa", day("2020-11-20"), "trading"}, true, ""},
		"nobody knows which trunk": {Call{"20241120-aa", day("2024-11-20"), ""}, false, "class mifid"},
		"held by its period":       {Call{"20200131-aa", day("2020-01-31"), "carrier"}, false, "legal hold h-period (audit)"},
		"the day after":            {Call{"20200201-aa", day("2020-02-01"), "carrier"}, true, ""},
		"held by its trunk":        {Call{"20200310-aa", day("2020-03-10"), "carrier"}, false, "legal hold h-trunk"},
		"another trunk":            {Call{"20200310-aa", day("2020-03-10"), "other"}, true, ""},
		"held, trunk not known":    {Call{"20200310-aa", day("2020-03-10"), ""}, false, "legal hold h-trunk"},
		"held by its reference":    {Call{"20200501-aa", day("2020-05-01"), "other"}, false, "legal hold h-ref"},
		"another of that day":      {Call{"20200501-bb", day("2020-05-01"), "other"}, true, ""},
	} {
		if got := r.Age(c.call, now); got != c.age {
			t.Errorf("%s: outlived %v", name, got)
		}
		err := r.Forget(c.call, now)
		if (err == nil) != (c.forget == "") || err != nil && (!errors.Is(err, ErrKept) || !strings.Contains(err.Error(), c.forget)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r.Person("p-a") != nil || !errors.Is(r.Person("p-b"), ErrKept) {
		t.Error("people")
	}
	if !r.ByTrunk(day("2020-03-10")) || (Rules{Holds: r.Holds}).ByTrunk(day("2021-01-01")) || !(Rules{Holds: r.Holds}).ByTrunk(day("2020-03-31")) {
		t.Error("when the trunk matters")
	}
}

func TestHoldCheck(t *testing.T) {
	for name, c := range map[string]struct {
		h  Hold
		ok bool
	}{
		"whole":      {Hold{Trunk: "a", Reason: "r", By: "p-a"}, true},
		"no reason":  {Hold{Trunk: "a", By: "p-a"}, false},
		"nobody":     {Hold{Trunk: "a", Reason: "r"}, false},
		"everything": {Hold{Reason: "r", By: "p-a"}, false},
		"backwards":  {Hold{From: day("2026-02-01"), To: day("2026-01-01"), Reason: "r", By: "p-a"}, false},
	} {
		if err := c.h.Check(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
