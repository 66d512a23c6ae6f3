package overload

import (
	"math/rand/v2"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 782e6, time.UTC)

func TestBucket(t *testing.T) {
	var b Bucket
	took := 0
	for range 100 {
		if b.Take(start, 10, 5) {
			took++
		}
	}
	if took != 5 {
		t.Errorf("%d at once, want the burst of 5", took)
	}
	took = 0
	for i := range 1000 {
		if b.Take(start.Add(time.Duration(i)*10*time.Millisecond), 10, 5) {
			took++
		}
	}
	if took < 98 || took > 101 {
		t.Errorf("%d in 10 s, want 10 a second", took)
	}
	var small Bucket
	if !small.Take(start, 0.5, 0) || small.Take(start.Add(time.Second), 0.5, 0) || !small.Take(start.Add(2*time.Second), 0.5, 0) {
		t.Error("half a token a second is one in two seconds")
	}
	if small.Take(start.Add(-time.Hour), 0.5, 0) {
		t.Error("a clock that went back filled the bucket")
	}
}

func TestPercent(t *testing.T) {
	ms := time.Millisecond
	for name, c := range map[string]struct {
		load Load
		want int
	}{
		"idle":                     {Load{0, 500 * ms, 0, 100}, 0},
		"no limits":                {Load{Lag: time.Second, Calls: 1000}, 0},
		"a fifth of the lag":       {Load{100 * ms, 500 * ms, 0, 100}, 0},
		"three fifths":             {Load{300 * ms, 500 * ms, 0, 100}, 50},
		"behind":                   {Load{2 * time.Second, 500 * ms, 0, 100}, 100},
		"nine of ten calls":        {Load{0, 500 * ms, 90, 100}, 0},
		"nineteen of twenty":       {Load{0, 500 * ms, 95, 100}, 50},
		"full":                     {Load{0, 500 * ms, 100, 100}, 100},
		"the worse of both counts": {Load{300 * ms, 500 * ms, 99, 100}, 90},
	} {
		if got := c.load.Percent(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestLevelRisesAtOnceAndFallsSlowly(t *testing.T) {
	var l Level
	for _, c := range []struct {
		after   time.Duration
		measure int
		want    int
	}{{0, 0, 0}, {time.Second, 80, 80}, {2 * time.Second, 0, 60}, {3 * time.Second, 90, 90}, {5 * time.Second, 70, 70}, {20 * time.Second, 0, 0}} {
		if got := l.Now(start.Add(c.after), c.measure); got != c.want {
			t.Errorf("after %s: %d, want %d", c.after, got, c.want)
		}
	}
}

// Conforms: RFC 7339 section 4; RFC 7339 section 9; RFC 7415 section 3.2
func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		in   Params
		want Feedback
		ok   bool
	}{
		"the example of RFC 7339": {Params{"20", `"loss"`, "500", "1282321615.782"}, Feedback{Loss, 20, 500 * time.Millisecond, 128232161578200}, true},
		"loss is the default":     {Params{OC: "5"}, Feedback{Loss, 5, 500 * time.Millisecond, 0}, true},
		"a rate":                  {Params{"150", `"rate"`, "1000", "1.5"}, Feedback{Rate, 150, time.Second, 150000}, true},
		"an end":                  {Params{"0", "loss", "0", "2"}, Feedback{Loss, 0, 0, 200000}, true},
		"an echo of our offer":    {Params{Algo: Offer}, Feedback{}, false},
		"more than everything":    {Params{OC: "101", Algo: `"loss"`}, Feedback{}, false},
		"a negative number":       {Params{OC: "-1"}, Feedback{}, false},
		"a sign":                  {Params{OC: "+1"}, Feedback{}, false},
		"another algorithm":       {Params{OC: "1", Algo: `"window"`}, Feedback{}, false},
		"a bad validity":          {Params{OC: "1", Validity: "soon"}, Feedback{}, false},
		"a bad sequence":          {Params{OC: "1", Seq: "1.234567"}, Feedback{}, false},
		"a sequence of letters":   {Params{OC: "1", Seq: "a.1"}, Feedback{}, false},
	} {
		got, ok := Parse(c.in)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %+v %v, want %+v %v", name, got, ok, c.want, c.ok)
		}
	}
}

// Conforms: RFC 7339 section 4.2; RFC 7339 section 5.2; RFC 7415 section 3.4
func TestAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		offered string
		percent int
		rate    float64
		want    Params
		ok      bool
	}{
		"loss":                      {`"loss"`, 30, 0, Params{"30", `"loss"`, "500", "1795262400.782"}, true},
		"nothing to hold back":      {`"loss,rate"`, 0, 0, Params{"0", `"loss"`, "500", "1795262400.782"}, true},
		"a limit in rate":           {`"loss, rate"`, 0, 50, Params{"50", `"rate"`, "500", "1795262400.782"}, true},
		"a limit under load":        {`"rate,loss"`, 40, 50, Params{"30", `"rate"`, "500", "1795262400.782"}, true},
		"a limit that loss can't":   {`"loss"`, 40, 50, Params{"40", `"loss"`, "500", "1795262400.782"}, true},
		"a limit below one":         {`"rate"`, 0, 0.2, Params{"1", `"rate"`, "500", "1795262400.782"}, true},
		"nearly overloaded":         {`"rate"`, 99, 50, Params{"1", `"rate"`, "500", "1795262400.782"}, true},
		"overloaded":                {`"rate"`, 100, 50, Params{"0", `"rate"`, "500", "1795262400.782"}, true},
		"nothing that we know":      {`"window"`, 40, 50, Params{}, false},
		"an offer of no algorithms": {"", 40, 50, Params{}, false},
	} {
		if got, ok := Answer(c.offered, c.percent, c.rate, start); got != c.want || ok != c.ok {
			t.Errorf("%s: %+v %v, want %+v %v", name, got, ok, c.want, c.ok)
		}
	}
}

// Conforms: RFC 7339 section 5.4; RFC 7339 section 5.7; RFC 7339 section 5.5
func TestClientLoses(t *testing.T) {
	var c Client
	dice := rand.New(rand.NewPCG(1, 2))
	share := func(now time.Time) int {
		n := 0
		for range 10000 {
			if c.Admit(now, dice.Float64()) {
				n++
			}
		}
		return n / 100
	}
	if share(start) != 100 {
		t.Error("nobody said anything and something was held back")
	}
	c.Hear(start, Feedback{Loss, 30, time.Second, 10})
	if got := share(start); got < 68 || got > 72 {
		t.Errorf("%d %% went out, want 70", got)
	}
	c.Hear(start, Feedback{Loss, 90, time.Second, 9})
	if got := share(start); got < 68 {
		t.Errorf("older feedback was believed: %d %%", got)
	}
	c.Hear(start.Add(time.Second/2), Feedback{Loss, 30, time.Second, 10})
	if !c.Idle(start.Add(time.Second)) {
		t.Error("feedback that was heard before holds longer")
	}
	c.Hear(start, Feedback{Loss, 100, time.Second, 11})
	if got := share(start); got != 0 {
		t.Errorf("%d %% went out, want none", got)
	}
	if c.Idle(start) || share(start.Add(time.Second)) != 100 || !c.Idle(start.Add(time.Second)) {
		t.Error("feedback counts after its validity")
	}
	c.Hear(start, Feedback{Loss, 50, 0, 12})
	if share(start) != 100 {
		t.Error("a validity of 0 ends it")
	}
}

// Conforms: RFC 7415 section 3.5
func TestClientKeepsTheRate(t *testing.T) {
	var c Client
	c.Hear(start, Feedback{Rate, 20, time.Minute, 1})
	n := 0
	for i := range 10000 {
		if c.Admit(start.Add(time.Duration(i)*time.Millisecond), 0) {
			n++
		}
	}
	if n < 198 || n > 203 {
		t.Errorf("%d in 10 s, want 20 a second", n)
	}
	c.Hear(start, Feedback{Rate, 0, time.Minute, 2})
	if c.Admit(start.Add(time.Second), 0) {
		t.Error("a rate of 0 let one out")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("20", `"loss"`, "500", "1282321615.782")
	f.Add("0", `"rate"`, "", "1.")
	f.Fuzz(func(t *testing.T, oc, algo, validity, seq string) {
		fb, ok := Parse(Params{oc, algo, validity, seq})
		if ok && (fb.Algo == Loss && fb.Value > 100 || fb.Validity < 0) {
			t.Errorf("%+v", fb)
		}
	})
}
