package ng

import (
	"errors"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestBencodeBothWays(t *testing.T) {
	t.Parallel()
	for text, v := range map[string]any{
		"0:": "", "4:spam": "spam", "i0e": int64(0), "i-42e": int64(-42), "le": []any{}, "l4:spami7ee": []any{"spam", int64(7)}, "de": map[string]any{},
		"d7:command4:ping3:sdp7:v=0\r\nx:e": map[string]any{"sdp": "v=0\r\nx:", "command": "ping"}, // keys in order
		"d1:ad1:bl1:cee2:zzi1ee":            map[string]any{"zz": int64(1), "a": map[string]any{"b": []any{"c"}}},
	} {
		if got := string(bencode(nil, v)); got != text {
			t.Errorf("%v: %q, want %q", v, got, text)
		}
		if got, err := bdecode([]byte(text)); err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, v)
		}
	}
}

func TestBencodeRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "4:spa", "04:spam", "-1:", "99999999999999999999:", "i7", "ie", "i07e", "i-0e", "i 7e", "l", "l4:spam", "d", "d4:spam", "di1e4:spame", "d1:ai1e1:ai2ee", "4:spamx", "x",
		strings.Repeat("l", 40) + strings.Repeat("e", 40), "70000:" + strings.Repeat("a", 70000),
	} {
		if v, err := bdecode([]byte(text)); !errors.Is(err, errBencode) {
			t.Errorf("%.30q: %v, %v", text, v, err)
		}
	}
}

// FuzzBencode holds that what can be read can be written, and that what is written reads as the same.
func FuzzBencode(f *testing.F) {
	for _, s := range []string{"d6:result2:ok3:sdp3:v=0e", "li1e0:dee", "i-9223372036854775808e", "d1:", "8:abc", "l"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := bdecode(b)
		if err != nil {
			return
		}
		out := bencode(nil, v)
		again, err := bdecode(out)
		if err != nil || !reflect.DeepEqual(v, again) {
			t.Fatalf("%q: %v, written %q, read %v, %v", b, v, out, again, err)
		}
	})
}

// TestAsk: an answer to an earlier question is thrown away, and a refusal is an error.
func TestAsk(t *testing.T) {
	t.Parallel()
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		b := make([]byte, longest)
		for {
			n, from, err := server.ReadFromUDPAddrPort(b)
			if err != nil {
				done <- nil
				return
			}
			cookie, text, _ := strings.Cut(string(b[:n]), " ")
			q, err := bdecode([]byte(text))
			if err != nil {
				done <- err
				return
			}
			answer := map[string]any{"result": "pong"}
			if q.(map[string]any)["command"] != "ping" {
				answer = map[string]any{"result": "error", "error-reason": "what?"}
			}
			server.WriteToUDPAddrPort(bencode([]byte("0 "), map[string]any{"result": "late"}), from)
			server.WriteToUDPAddrPort(bencode([]byte(cookie+" "), answer), from)
		}
	}()
	c, err := Dial(netip.MustParseAddrPort(server.LocalAddr().String()))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Ask(map[string]any{"command": "ping"}); err != nil || got["result"] != "pong" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := c.Ask(map[string]any{"command": "sing"}); err == nil || !strings.Contains(err.Error(), "what?") {
		t.Errorf("%v, %v", got, err)
	}
	if err := errors.Join(c.Close(), server.Close(), <-done); err != nil {
		t.Error(err)
	}
}
