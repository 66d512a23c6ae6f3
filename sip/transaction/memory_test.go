package transaction

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// finished is a user that plays a call over one layer: it takes it from one side, makes it on the other, and answers what comes.
type finished struct {
	t    *testing.T
	l    *Layer
	last []byte // what the layer sent
	tx   *Server
}

func (f *finished) send(_ transport.Flow, b []byte) error {
	f.last = append(f.last[:0], b...)
	return nil
}

func (f *finished) Request(tx *Server, _ *sip.Request, _ transport.Incoming) { f.tx = tx }
func (f *finished) Stray(*sip.Response, transport.Incoming)                  {}
func (f *finished) Response(*Client, *sip.Response)                          {}
func (f *finished) Failed(*Client, error)                                    {}

func (f *finished) arrive(flow transport.Flow, format string, a ...any) {
	msg, err := transport.Parse(fmt.Appendf(nil, format, a...))
	if err != nil {
		f.t.Fatal(err)
	}
	f.l.Receive(transport.Incoming{Msg: msg, Flow: flow, Party: "carrier"})
}

const padding = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE\r\nUser-Agent: a carrier of calls\r\nSupported: 100rel, timer\r\nSession-Expires: 1800\r\n"

// out sends a request of ours and answers it.
func (f *finished) out(flow transport.Flow, method sip.RequestMethod, n int) {
	req := sip.NewRequest(method, sip.Uri{Scheme: "sip", User: "+493012345678", Host: "192.0.2.9", Port: 5060})
	req.AppendHeader(&sip.FromHeader{Address: sip.Uri{Scheme: "sip", User: "+4989123456", Host: "192.0.2.1"}, Params: sip.HeaderParams{{K: "tag", V: fmt.Sprint("out", n)}}})
	req.AppendHeader(&sip.ToHeader{Address: sip.Uri{Scheme: "sip", User: "+493012345678", Host: "192.0.2.9"}})
	id := sip.CallIDHeader(fmt.Sprintf("cdn0aaaaaaaaaaaaaaaaaaa%06d", n))
	req.AppendHeader(&id)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: 1, MethodName: method})
	req.AppendHeader(sip.NewHeader("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE"))
	req.SetBody([]byte(strings.Repeat("a=sendrecv\r\n", 20)))
	c := f.l.Request(flow, req, f)
	f.arrive(flow, "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=%s;rport=5060\r\nFrom: <sip:+4989123456@192.0.2.1>;tag=out%d\r\n"+
		"To: <sip:+493012345678@192.0.2.9>;tag=far\r\nCall-ID: %s\r\nCSeq: 1 %s\r\n%s\r\n%s", c.key.branch, n, id, method, padding, strings.Repeat("a=sendrecv\r\n", 20))
}

// in takes a request and answers it with 200.
func (f *finished) in(flow transport.Flow, method sip.RequestMethod, n int) {
	f.arrive(flow, "%s sip:+493012345678@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.8:5060;branch=z9hG4bK776asdhds%06d%s;rport\r\n"+
		"From: <sip:+4989123456@192.0.2.8>;tag=1928301774\r\nTo: <sip:+493012345678@192.0.2.1>\r\nCall-ID: a84b4c76e66710-%06d@192.0.2.8\r\nCSeq: 1 %s\r\n"+
		"Max-Forwards: 70\r\n%s\r\n%s", method, n, method, n, method, padding, strings.Repeat("a=sendrecv\r\n", 20))
	res := f.tx.Response(200, "", sip.NewHeader("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE"))
	if err := f.tx.Respond(res); err != nil {
		f.t.Fatal(err)
	}
}

// A call that is over costs at most 4 kB until its transactions have ended: INVITE and BYE on both sides.
func TestMemoryOfFinishedCalls(t *testing.T) {
	const calls = 4000
	f := &finished{t: t}
	f.l = New(NewLoop(), f.send, f, Timers{})
	flows := [2]transport.Flow{flowOf(transport.UDP), flowOf(transport.UDP)}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for n := range calls {
		f.in(flows[0], sip.INVITE, n)
		f.out(flows[1], sip.INVITE, n)
		f.out(flows[1], sip.BYE, n)
		f.in(flows[0], sip.BYE, n)
	}
	each := (heap() - before) / calls
	c, s := f.l.Len()
	if t.Logf("%d bytes for each call", each); each > 4<<10 || c != 2*calls || s != 2*calls {
		t.Errorf("%d client and %d server transactions take %d bytes for each call", c, s, each)
	}
	runtime.KeepAlive(f)
}
