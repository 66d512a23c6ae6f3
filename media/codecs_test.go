package media

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// manyCodecs is the offer of a peer that can speak much.
const manyCodecs = "v=0\r\no=- 1 1 IN IP4 127.0.1.10\r\ns=-\r\nc=IN IP4 127.0.1.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 96 9 0 8 18 13 101 100\r\n" +
	"a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=fmtp:18 annexb=no\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n" +
	"a=rtpmap:100 telephone-event/48000\r\na=ptime:20\r\n"

func TestCodecsOfAnOffer(t *testing.T) {
	for name, c := range map[string]struct {
		codecs Codecs
		want   string // formats that are left; "" refuses the offer
	}{
		"nothing said":                      {Codecs{}, "96 9 0 8 18 13 101 100"},
		"one allowed, events stay":          {Codecs{Allow: []string{"PCMA"}}, "8 101"},
		"names have no case":                {Codecs{Allow: []string{"pcma", "OPUS"}}, "96 8 101 100"},
		"comfort noise is named":            {Codecs{Allow: []string{"PCMA", "CN"}}, "8 13 101"},
		"events denied":                     {Codecs{Allow: []string{"PCMA"}, Deny: []string{"telephone-event"}}, "8"},
		"denied alone":                      {Codecs{Deny: []string{"G729", "PCMU"}}, "96 9 8 13 101 100"},
		"events go with their clock":        {Codecs{Deny: []string{"opus"}}, "9 0 8 18 13 101"},
		"the other clock goes":              {Codecs{Allow: []string{"opus"}}, "96 100"},
		"deny beats allow":                  {Codecs{Allow: []string{"PCMA", "PCMU"}, Deny: []string{"PCMU"}}, "8 101"},
		"preferred first, the rest follows": {Codecs{Prefer: []string{"PCMA", "G722"}}, "8 9 96 0 18 13 101 100"},
		"allowed and preferred":             {Codecs{Allow: []string{"G722", "PCMA", "PCMU"}, Prefer: []string{"PCMA"}}, "8 9 0 101"},
		"preferred but not offered":         {Codecs{Prefer: []string{"AMR-WB", "G729"}}, "18 96 9 0 8 13 101 100"},
		"events are no speech":              {Codecs{Allow: []string{"telephone-event", "CN"}}, ""},
		"nothing is left":                   {Codecs{Allow: []string{"AMR"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newBed(t, newNetwork().listen).open(plainLeg("carrier"))
			to := plainLeg("fra")
			to.Codecs = c.codecs
			out, err := s.Offer(A, []byte(manyCodecs), to)
			if c.want == "" {
				var ref *Refusal
				if !errors.As(err, &ref) || ref.Status != 488 || ref.Warning != 305 || !ref.NoCodec {
					t.Fatalf("%v %s", err, out)
				}
				return
			}
			if err != nil || !strings.HasSuffix(mediaLine(t, out), "RTP/AVP "+c.want) {
				t.Fatalf("%v\n%s\nwant %s", err, out, c.want)
			}
			for _, a := range slices.Concat(lines(t, out, "a=rtpmap:"), lines(t, out, "a=fmtp:")) {
				pt, _, _ := strings.Cut(a[strings.IndexByte(a, ':')+1:], " ")
				if !slices.Contains(strings.Fields(c.want), pt) {
					t.Errorf("%s is of a format that is gone", a)
				}
			}
		})
	}
}

// What the caller's side may not speak is not offered on, and an offer of it alone is refused to the caller, whoever would be next.
func TestCodecsOfTheCaller(t *testing.T) {
	a := plainLeg("carrier")
	a.Codecs = Codecs{Allow: []string{"G722", "PCMA"}, Prefer: []string{"PCMA"}}
	s := newBed(t, newNetwork().listen).open(a)
	out := ok(s.Offer(A, []byte(manyCodecs), plainLeg("fra")))(t)
	if !strings.HasSuffix(mediaLine(t, out), "RTP/AVP 9 8 101") { // prefer is of what is offered to it
		t.Errorf("%s", out)
	}
	only := strings.Replace(manyCodecs, "96 9 0 8 18 13 101 100", "0 101", 1)
	var ref *Refusal
	if _, err := s.Offer(A, []byte(only), plainLeg("fra")); !errors.As(err, &ref) || ref.Status != 488 || ref.NoCodec {
		t.Errorf("%v", err)
	}
}

// A delayed offer goes to the caller in the caller's order, without what it may not speak.
func TestCodecsOfADelayedOffer(t *testing.T) {
	a := plainLeg("carrier")
	a.Codecs = Codecs{Allow: []string{"PCMA", "PCMU"}, Prefer: []string{"PCMA"}}
	s := newBed(t, newNetwork().listen).open(a)
	if err := s.Expect(plainLeg("fra")); err != nil {
		t.Fatal(err)
	}
	out := ok(s.Offer(B, []byte(strings.ReplaceAll(manyCodecs, "127.0.1.10", bobAddr.String())), a))(t)
	if !strings.HasSuffix(mediaLine(t, out), "RTP/AVP 8 0 101") {
		t.Errorf("%s", out)
	}
}

// Conforms: RFC 3264 section 6.1; the caller is told nothing that was not offered to the side that answers, and formats keep their meaning in the numbers of who offered.
func TestAnAnswerHoldsOnlyWhatWasOffered(t *testing.T) {
	answer := func(formats string, maps ...string) []byte {
		s := "v=0\r\no=- 1 1 IN IP4 127.0.2.10\r\ns=-\r\nc=IN IP4 127.0.2.10\r\nt=0 0\r\nm=audio 5000 RTP/AVP " + formats + "\r\n"
		for _, m := range maps {
			s += "a=rtpmap:" + m + "\r\n"
		}
		return []byte(s)
	}
	for name, c := range map[string]struct {
		answer []byte
		want   string
	}{
		"what was offered":           {answer("8 101", "101 telephone-event/8000"), "8 101"},
		"its own order":              {answer("9 8"), "9 8"},
		"one that was filtered":      {answer("0 8"), "8"},
		"one that nobody offered":    {answer("3 8"), "8"},
		"another number":             {answer("9 97", "97 telephone-event/8000"), "9 101"},
		"another clock":              {answer("8 101", "101 telephone-event/16000"), "8"},
		"a number with other speech": {answer("101", "101 AMR/8000"), ""},
		"only what was filtered":     {answer("0 18"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newBed(t, newNetwork().listen).open(plainLeg("carrier"))
			to := plainLeg("fra")
			to.Codecs = Codecs{Allow: []string{"PCMA", "G722"}}
			ok(s.Offer(A, []byte(manyCodecs), to))(t)
			got, err := s.Answer(B, c.answer)
			var ref *Refusal
			switch {
			case c.want == "" && (!errors.As(err, &ref) || ref.Status != 488):
				t.Errorf("%v %s", err, got)
			case c.want != "" && (err != nil || !strings.HasSuffix(mediaLine(t, got), "RTP/AVP "+c.want)):
				t.Errorf("%v %s, want %s", err, got, c.want)
			}
		})
	}
}

// A hold stays a hold where formats were taken away, and its answer has only what is in use.
func TestAHoldBesideCodecs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := plainLeg("carrier"), plainLeg("fra")
		a.Codecs, b.Codecs = Codecs{Deny: []string{"opus"}}, Codecs{Allow: []string{"PCMA"}}
		n := newNetwork()
		bed := newBed(t, n.listen)
		s := bed.open(a)
		ok(s.Offer(A, []byte(manyCodecs), b))(t)
		ok(s.Answer(B, newPeer(t, n, bobAddr, 5000, "").sdp()))(t)
		held := bytes.Replace([]byte(manyCodecs), []byte("a=ptime"), []byte("a=sendonly\r\na=ptime"), 1)
		if got := s.Compare(A, held); got != Direction {
			t.Errorf("change %d, want a direction", got)
		}
		if got := ok(s.Reoffer(A, held))(t); !strings.HasSuffix(mediaLine(t, got), "RTP/AVP 8 101") || len(lines(t, got, "a=recvonly")) != 1 {
			t.Errorf("%s", got)
		}
		if got := s.Compare(A, []byte(strings.Replace(manyCodecs, " 8 18", " 18", 1))); got != Formats {
			t.Errorf("change %d, want formats", got)
		}
		none := strings.Replace(manyCodecs, "96 9 0 8 18 13 101 100", "96 100", 1)
		var ref *Refusal
		if _, err := s.Reoffer(A, []byte(none)); !errors.As(err, &ref) || ref.Status != 488 {
			t.Errorf("%v", err)
		}
	})
}

// Who takes a place is offered what it may speak, or is not asked at all.
func TestCodecsOfATransfer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), plainLeg("fra"))
		to := plainLeg("zrh")
		to.Codecs = Codecs{Allow: []string{"PCMA"}, Deny: []string{telephoneEvent}}
		r, _, offer := c.begin(t, to)
		if !strings.HasSuffix(mediaLine(t, offer), "RTP/AVP 8") {
			t.Errorf("%s", offer)
		}
		r.Drop()
		to.Codecs = Codecs{Allow: []string{"G722"}}
		var ref *Refusal
		if _, _, err := c.s.Replace(B, to); !errors.As(err, &ref) || !ref.NoCodec {
			t.Errorf("%v", err)
		}
		if c.hears(c.a, c.b, 2) != 2 {
			t.Error("the call lost its far end")
		}
	})
}

// The offers of real peers, as a trunk gets them that takes G.722 and A-law alone, A-law first.
func TestGoldenCodecs(t *testing.T) {
	to := plainLeg("fra")
	to.Codecs = Codecs{Allow: []string{"G722", "PCMA"}, Prefer: []string{"PCMA"}}
	var got strings.Builder
	for _, name := range []string{"asterisk", "baresip", "genesys", "pjsua", "teams"} {
		_, toB, _, toA := exchangeSample(t, name, to)
		got.WriteString("=== " + name + "\n--- offer to B\n" + normal(toB) + "--- answer to A\n" + normal(toA))
	}
	file := filepath.Join("testdata", "golden", "codecs.txt")
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := readFile(t, file); got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestPermits(t *testing.T) {
	for _, name := range EncodingNames() {
		if !(Codecs{}).Permits(name) || (Codecs{Deny: []string{strings.ToUpper(name)}}).Permits(name) || !(Codecs{Allow: []string{strings.ToLower(name)}}).Permits(name) {
			t.Errorf("%s", name)
		}
	}
}

// TestUsualMapsAreReadAsAllOthers: what is known by its whole text means what its words mean.
func TestUsualMapsAreReadAsAllOthers(t *testing.T) {
	for _, s := range []string{"0 PCMU/8000", "8 PCMA/8000", "9 G722/8000", "18 G729/8000", "101 telephone-event/8000"} {
		pt, c, usual := usualMap(s)
		if _, _, also := usualMap(" " + s); !usual || also {
			t.Errorf("%q: %v, with a space before it %v", s, usual, also)
		}
		if number, words, ok := readMap(" " + s); !ok || number != pt || words != c {
			t.Errorf("%q is %d %+v, its words say %d %+v", s, pt, c, number, words)
		}
	}
}
