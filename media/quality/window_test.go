package quality

import (
	"reflect"
	"testing"
	"time"
)

const second = int64(time.Second)

var g711, _ = CodecOf("PCMA")

// ride feeds w for some seconds with 50 packets each, of which some are lost.
func ride(w *Window, at int64, c *Counts, seconds, lost int) (int64, []Score) {
	var out []Score
	for range seconds {
		at += second
		c.Received += uint64(50 - lost)
		c.Lost += int64(lost)
		c.Gaps += uint32(lost)
		c.Sent += 50
		if s, ok := w.Sample(at, *c, g711); ok {
			out = append(out, s)
		}
	}
	return at, out
}

func TestWindows(t *testing.T) {
	var w Window
	var c Counts
	at := 1000 * second
	w.Sample(at, c, g711)
	at, good := ride(&w, at, &c, 10, 0)
	at, bad := ride(&w, at, &c, 5, 10) // 20 %
	at, fine := ride(&w, at, &c, 6, 0)
	if len(good) != 2 || len(bad) != 1 || len(fine) != 1 {
		t.Fatalf("%d, %d and %d windows", len(good), len(bad), len(fine))
	}
	if good[0].MOS < 4.4 || bad[0].MOS > 2.8 || fine[0].MOS < 4.4 {
		t.Errorf("scores %v %v %v", good, bad, fine)
	}
	c.FarLost = 105
	if _, ok := w.Close(at+second, c, g711); !ok {
		t.Error("a begun window of one second was not rated at the end")
	}
	s := w.Summary()
	if s.Windows != 5 || s.Poor != 1 || s.Worst != bad[0] || s.Last.MOS < 4.4 {
		t.Errorf("%+v", s)
	}
	near(t, "mean", float64(s.Mean.MOS), (4*4.41+float64(bad[0].MOS))/5, 0.01)
	near(t, "loss", float64(s.Loss), 50.0/1050, 1e-6)
	near(t, "loss at the far end", float64(s.FarLoss), 0.1, 1e-6)
	if s.Received != 1000 || s.Lost != 50 || s.Burst != 1 {
		t.Errorf("%+v", s)
	}
}

func TestWindowLoneSummary(t *testing.T) {
	var w Window
	if s := w.Summary(); s != (Summary{Burst: 1}) {
		t.Errorf("of nothing: %+v", s)
	}
	// Not enough for a score, and not of a codec with figures: counted all the same.
	w.Sample(second, Counts{Received: 20, Jitter: 7 * time.Millisecond}, g711)
	if _, ok := w.Close(7*second, Counts{Received: 40, Jitter: 2 * time.Millisecond}, Codec{}); ok {
		t.Error("40 packets were rated")
	}
	if s := w.Summary(); s.Received != 40 || s.Windows != 0 || s.Mean.MOS != 0 || s.Jitter != 7*time.Millisecond {
		t.Errorf("%+v", s)
	}
}

func TestWindowTakesTheWorstJitterAndTheLastRoundTrip(t *testing.T) {
	var w Window
	ms := time.Millisecond
	for i, c := range []Counts{
		{Received: 50, Jitter: 5 * ms},
		{Received: 100, Jitter: 50 * ms, RTT: 200 * ms},
		{Received: 150, Jitter: 4 * ms, RTT: 100 * ms},
		{Received: 200, Jitter: 3 * ms},
		{Received: 250, Jitter: 2 * ms},
		{Received: 300, Jitter: 1 * ms},
	} {
		w.Sample(int64(i+1)*second, c, g711)
	}
	if s := w.Summary(); s.Delay != 170*ms || s.Jitter != 50*ms {
		t.Errorf("delay %v, jitter %v", s.Delay, s.Jitter)
	}
	// The next window starts afresh.
	for i := range 5 {
		w.Sample(int64(i+7)*second, Counts{Received: uint64(350 + 50*i), Jitter: ms}, g711)
	}
	if s := w.Summary(); s.Delay != 72*ms {
		t.Errorf("delay %v", s.Delay)
	}
}

func TestWindowOfAnotherStream(t *testing.T) {
	var w Window
	var c Counts
	at, _ := ride(&w, 1000*second, &c, 8, 0)
	c = Counts{} // a transfer: another leg counts from nothing
	at, got := ride(&w, at, &c, 8, 0)
	if len(got) != 1 || got[0].MOS < 4.4 {
		t.Fatalf("%v", got)
	}
	if s := w.Summary(); s.Received != 800 || s.Lost != 0 {
		t.Errorf("%+v", s)
	}
	// Late packets let the number of lost ones fall, and the clock may be put back: neither is another stream.
	c.Lost += 20
	c.Received += 30
	w.Sample(at+second, c, g711)
	c.Lost -= 5
	c.Received += 55
	w.Sample(at-100*second, c, g711)
	if s := w.Summary(); s.Received != 885 || s.Lost != 15 {
		t.Errorf("%+v", s)
	}
	if _, got := ride(&w, at-100*second, &c, 5, 0); len(got) != 1 {
		t.Errorf("%d windows in the five seconds after the clock was put back", len(got))
	}
}

// flat fails where a type has pointers anywhere.
func flat(t *testing.T, of reflect.Type, path string) {
	t.Helper()
	switch of.Kind() {
	case reflect.Struct:
		for i := range of.NumField() {
			flat(t, of.Field(i).Type, path+"."+of.Field(i).Name)
		}
	case reflect.Array:
		flat(t, of.Elem(), path)
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.String, reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		t.Errorf("%s is a %s", path, of.Kind())
	}
}

func TestWhatIsKeptIsFlatAndSmall(t *testing.T) {
	for _, c := range []struct {
		of   reflect.Type
		most uintptr
	}{
		{reflect.TypeFor[Window](), 256},
		{reflect.TypeFor[Liveness](), 96},
		{reflect.TypeFor[Reporter](), 64},
		{reflect.TypeFor[XR](), 256},
		{reflect.TypeFor[Reception](), 32},
		{reflect.TypeFor[Event](), 24},
		{reflect.TypeFor[Summary](), 88},
	} {
		flat(t, c.of, c.of.Name())
		if c.of.Size() > c.most {
			t.Errorf("%s has %d bytes, want at most %d", c.of, c.of.Size(), c.most)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	var w Window
	var l Liveness
	var x XR
	r := Reporter{SSRC: 7}
	r.Start(1, 1)
	room := make([]byte, 0, 256)
	xr := compoundXR(t)
	at, c := second, Counts{}
	from := &Reception{SSRC: 9, Highest: 100, Received: 90}
	if n := testing.AllocsPerRun(100, func() {
		at += second
		c.Received += 50
		w.Sample(at, c, g711)
		w.Summary()
		l.Step(Limits{}, Look{Now: at, Sends: true, Hears: true})
		r.Append(room, at, at, Sending{SSRC: 7, Packets: uint32(c.Received)}, from, 99)
		for b := xr; ; {
			kind, _, p, rest, ok := Next(b)
			if !ok {
				break
			}
			if b = rest; kind == TypeXR {
				if err := ParseXR(p, &x); err != nil {
					panic(err)
				}
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
