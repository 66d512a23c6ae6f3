package configs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media/clip"
)

func TestAnnouncementOfARoute(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	second := bytes.Repeat([]byte{0x2a}, 8000)
	put("held.alaw", second)
	put("held.ulaw", bytes.Repeat([]byte{0x7e}, 8100))
	put("held.g722", second)
	put("long.alaw", make([]byte, 121*8000))
	put("half.alaw", make([]byte, 61*8000))
	put("no.wav", []byte("RIFF"))
	put("large.wav", make([]byte, clip.MaxFile+1))
	parse := func(word string) (*Config, error) {
		return Parse(filepath.Join(dir, "x.yaml"), []byte(strings.Replace(base, "to: [{party: fra}]", "to: [{party: fra}], on_hold: {announce: "+word+"}", 1)))
	}
	for word, want := range map[string]string{
		`{}`:                   "tone PCMA PCMU 6s early",
		`{repeat: 1}`:          "tone PCMA PCMU 2s early",
		`{for: 90s}`:           "tone PCMA PCMU 1m30s early",
		`{answer: true}`:       "tone PCMA PCMU 6s answered",
		`{files: [held.alaw]}`: "file PCMA PCMU 1s early",
		`{files: [held.g722]}`: "file G722 1s early",
		`{files: ["held.g722", "held.alaw"], repeat: 4}`:                                     "file G722 PCMA PCMU 4s early",
		`{files: [held.ulaw, held.alaw], for: 1s}`:                                           "file PCMU PCMA 1s early",
		fmt.Sprintf(`{files: [%q], for: 2m, answer: true}`, filepath.Join(dir, "held.ulaw")): "file PCMU PCMA 2m0s answered",
	} {
		c, err := parse(word)
		if err != nil {
			t.Errorf("%s: %v", word, err)
			continue
		}
		a, ok := c.Announcements[c.Rules.Routes[0].Name]
		if !c.Rules.Routes[0].Announce || !ok || len(c.Announcements) != 1 {
			t.Errorf("%s: %v", word, c.Announcements)
			continue
		}
		how := "early"
		if a.Answer {
			how = "answered"
		}
		if got := strings.Join(slices.Concat([]string{a.Sound}, a.Codecs(), []string{a.Lasts().String(), how}), " "); got != want {
			t.Errorf("%s: %s, want %s", word, got, want)
		}
	}
	for word, want := range map[string]string{
		`{files: [gone.wav]}`:                        "on_hold.announce.files[0]: open",
		`{files: [no.wav]}`:                          "on_hold.announce.files[0]: no.wav: it is no WAV file",
		`{files: [held.mp3]}`:                        "on_hold.announce.files[0]: open",
		`{files: [x.yaml]}`:                          "on_hold.announce.files[0]",
		`{files: [large.wav]}`:                       "bytes are too many",
		`{files: [long.alaw]}`:                       "it lasts 2m1s",
		`{files: [half.alaw], repeat: 2}`:            "on_hold.announce: it would last 2m2s",
		`{files: [held.alaw, held.alaw]}`:            "on_hold.announce.files[1]: held.alaw: another file holds PCMA already",
		`{files: [half.alaw, held.g722]}`:            "on_hold.announce.files: G722 lasts 1s, and PCMA lasts 1m1s",
		`{repeat: -1}`:                               "on_hold.announce.repeat: -1 is out of range",
		`{repeat: 1001}`:                             "on_hold.announce.repeat: 1001 is out of range",
		`{repeat: 2, for: 5s}`:                       "on_hold.announce.for: both stand there",
		`{for: 121s}`:                                "on_hold.announce: it would last 2m1s",
		`{for: 10ms}`:                                "on_hold.announce: it would last 10ms",
		`{file: held.alaw}`:                          "on_hold.announce.file: unknown key",
		`{answer: perhaps}`:                          "perhaps",
		`{files: [held.alaw], repeat: 100, for: 0s}`: "", // a time of nothing is none
	} {
		if _, err := parse(word); (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", word, err, want)
		}
	}
	c, err := Parse("x.yaml", []byte(base))
	if err != nil || c.Announcements != nil || c.Rules.Routes[0].Announce {
		t.Errorf("a route that says nothing: %+v %v", c.Announcements, err)
	}
}

// What a file holds itself goes before what another one could be turned into, whatever stands first.
func TestTheOwnLawOfAFile(t *testing.T) {
	dir := t.TempDir()
	for name, octet := range map[string]byte{"a.alaw": 0x2a, "u.ulaw": 0x7e} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte{octet}, 160), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, order := range [][]string{{"a.alaw", "u.ulaw"}, {"u.ulaw", "a.alaw"}} {
		b := &builder{dir: dir}
		got := map[string]byte{}
		for _, c := range b.sounds("x", order) {
			got[c.Codec] = c.Bytes[0]
			if c.Length() != 20*time.Millisecond {
				t.Errorf("%s lasts %s", c.Codec, c.Length())
			}
		}
		if len(got) != 2 || got[clip.PCMA] != 0x2a || got[clip.PCMU] != 0x7e {
			t.Errorf("%v: %x", order, got)
		}
	}
}
