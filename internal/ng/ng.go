// Package ng is a client of rtpengine's control protocol, for whoever measures cordon beside it or puts it at the far end of a call: questions and answers in
// Bencode over UDP. It imports the standard library alone.
package ng

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"
)

// Client asks one rtpengine: a datagram with a cookie and a dictionary, and one back with the same cookie. It is for one question at a time.
type Client struct {
	conn *net.UDPConn
	next int
	buf  []byte
}

// Dial opens the socket; nobody needs to listen yet.
func Dial(to netip.AddrPort) (*Client, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil, fmt.Errorf("ng: %w", err)
	}
	return &Client{conn: c, buf: make([]byte, longest)}, nil
}

// The time for an answer, and how often a question is put: rtpengine gives the same answer to the same cookie.
const (
	patience = time.Second
	tries    = 5
)

// Close gives the socket back.
func (c *Client) Close() error { return c.conn.Close() }

// Ask puts a question and gives the answer: strings, int64, []any and map[string]any. An answer whose result is no success is an error.
func (c *Client) Ask(question map[string]any) (map[string]any, error) {
	c.next++
	cookie := strconv.Itoa(c.next)
	out := bencode([]byte(cookie+" "), question)
	for range tries {
		_, err := c.conn.Write(out)
		var answer map[string]any
		if err == nil {
			answer, err = c.hear(cookie)
		}
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) { // nobody listens yet
				time.Sleep(patience)
			}
			continue
		}
		switch result, _ := answer["result"].(string); result {
		case "ok", "pong":
			return answer, nil
		default:
			return nil, fmt.Errorf("rtpengine: %v: %v: %v", question["command"], result, answer["error-reason"])
		}
	}
	return nil, fmt.Errorf("rtpengine: %v: no answer", question["command"])
}

// hear waits for the answer with that cookie; others, which are late, are thrown away.
func (c *Client) hear(cookie string) (map[string]any, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	for {
		n, err := c.conn.Read(c.buf)
		if err != nil {
			return nil, err
		}
		got, text, ok := bytes.Cut(c.buf[:n], []byte(" "))
		if !ok || string(got) != cookie {
			continue
		}
		v, err := bdecode(text)
		if err != nil {
			return nil, err
		}
		if dict, ok := v.(map[string]any); ok {
			return dict, nil
		}
		return nil, fmt.Errorf("%w: the answer is a %T", errBencode, v)
	}
}
