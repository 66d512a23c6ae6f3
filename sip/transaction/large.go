package transaction

import (
	"errors"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// large is the size in bytes above which a request goes over a transport with congestion control where there is one, the path's MTU being unknown. RFC 3261
// section 18.1.1. Responses go the way on which their request came, whatever their size.
const large = 1300

// Large sets what gives the stream that a request which is too large for the datagrams of a flow goes by instead, to the same address; false: there is none, and
// the system fragments.
func (l *Layer) Large(f func(transport.Flow) (transport.Flow, bool)) { l.wide = f }

// widen moves a request of size bytes from a flow of datagrams to a stream when it is too large for them, with the Via of that stream.
func (l *Layer) widen(f transport.Flow, req *sip.Request, size int) (transport.Flow, bool) {
	if size <= large || l.wide == nil || f.Proto().Reliable() {
		return f, false
	}
	wide, ok := l.wide(f)
	if !ok {
		return f, false
	}
	l.rename(wide, req)
	return wide, true
}

// rename makes our Via that of another flow. RFC 3261 section 18.1.1: it names the transport that is used. The branch stays.
func (l *Layer) rename(f transport.Flow, req *sip.Request) {
	v := req.Via()
	branch, _ := v.Params.Get("branch")
	v.Transport, v.Host, v.Port = f.Proto().Name(), l.hostOf(f), int(f.Local().Port())
	v.Params = l.viaParams(nil, f, req, branch)
}

// ready writes a request that datagrams carry, and moves it to a stream if it is too large for them. A CANCEL goes where its INVITE went.
func (c *Client) ready() {
	if c.flow.Proto().Reliable() {
		return
	}
	c.wire = c.l.brief(c.req)
	if c.key.method == sip.CANCEL {
		return
	}
	if wide, ok := c.l.widen(c.flow, c.req, len(c.wire)); ok {
		c.narrow, c.flow = c.flow, wide
		c.silence()
	}
}

// fallBack sends a request by the datagrams that it was too large for, because the stream in their place could not even be opened. RFC 3261 section 18.1.1 asks
// for that when the connection is refused; a way that swallows it is no better. Timer B or F goes on.
func (c *Client) fallBack(err error) bool {
	if c.narrow == (transport.Flow{}) || c.state != calling || !unopened(err) {
		return false
	}
	c.l.leave(c)
	c.flow, c.narrow = c.narrow, transport.Flow{}
	c.l.join(c)
	c.l.rename(c.flow, c.req)
	c.wire = c.l.brief(c.req)
	if c.put() != nil {
		return false
	}
	c.sent, c.resend = true, c.l.t.T1
	c.arm(&c.repeat, c.resend)
	return true
}

// unopened says whether err is one of opening a stream: nothing was written to it then.
func unopened(err error) bool {
	return errors.Is(err, transport.ErrRefused) || errors.Is(err, transport.ErrUnreachable) || errors.Is(err, transport.ErrConnectTimeout)
}
