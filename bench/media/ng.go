//go:build linux

package main

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

// ng asks rtpengine by its ng protocol: a datagram with a cookie and a dictionary, and one back with the same cookie.
type ng struct {
	conn *net.UDPConn
	next int
	buf  []byte
}

func dialNG(to netip.AddrPort) (*ng, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil, err
	}
	return &ng{conn: c, buf: make([]byte, longest)}, nil
}

// The time for an answer, and how often a question is put: rtpengine gives the same answer to the same cookie.
const (
	ngPatience = time.Second
	ngTries    = 5
)

// ask puts a question and gives the answer; an answer whose result is no success is an error.
func (c *ng) ask(question map[string]any) (map[string]any, error) {
	c.next++
	cookie := strconv.Itoa(c.next)
	out := bencode([]byte(cookie+" "), question)
	for range ngTries {
		_, err := c.conn.Write(out)
		var answer map[string]any
		if err == nil {
			answer, err = c.hear(cookie)
		}
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) { // nobody listens yet
				time.Sleep(ngPatience)
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
func (c *ng) hear(cookie string) (map[string]any, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(ngPatience)); err != nil {
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
