package browser

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media/ice"
)

// TestCheck: what is made here is what an agent takes, and with another password it is not.
func TestCheck(t *testing.T) {
	own, from := ice.NewCredentials(), netip.MustParseAddrPort("192.0.2.1:4000")
	a, err := ice.New(own, "peer")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pwd, name string
		nominate  bool
		want      ice.What
	}{
		{own.Pwd, "peer", false, ice.Checked},
		{own.Pwd, "peer", true, ice.Nominated},
		{own.Pwd, "else", true, ice.Forged},
		{ice.NewCredentials().Pwd, "peer", true, ice.Forged},
	} {
		out, e := a.Handle(time.Second, Check(ice.Credentials{Ufrag: own.Ufrag, Pwd: c.pwd}, c.name, c.nominate), from, make([]byte, ice.ReplyLen))
		if e.What != c.want || Answered(out) != (c.want != ice.Forged) {
			t.Errorf("%+v: %v, %d octets of answer", c, e.What, len(out))
		}
	}
}
