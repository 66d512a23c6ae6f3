package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// way is the only way out of the room: names are resolved and addresses are dialled by the rules of whoever made the outlet.
type way struct {
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
}

// open connects to one of the addresses of addr, a host with a port. may, which may be nil, keeps addresses from being dialled at all. An error wraps
// sovereign.ErrFenced only where the wall refused every address.
func (w way) open(ctx context.Context, network, addr string, may func(netip.Addr) error) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	addrs, err := w.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	var failed, fenced []error
	for i, a := range addrs {
		if may != nil {
			if err := may(a); err != nil {
				failed = append(failed, err)
				continue
			}
		}
		conn, err := w.one(ctx, network, netip.AddrPortFrom(a, uint16(number)), len(addrs)-i)
		switch {
		case err == nil:
			return conn, nil
		case errors.Is(err, sovereign.ErrFenced):
			fenced = append(fenced, err)
		default:
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 { // another attempt may reach one of them, whatever the wall says of the others
		return nil, errors.Join(failed...)
	}
	return nil, errors.Join(fenced...)
}

// one dials one address, for its share of the time: left addresses have not been tried yet, this one included.
func (w way) one(ctx context.Context, network string, to netip.AddrPort, left int) (net.Conn, error) {
	if end, ok := ctx.Deadline(); ok {
		share, cancel := context.WithTimeout(ctx, time.Until(end)/time.Duration(left))
		defer cancel()
		ctx = share
	}
	return w.dial(ctx, network, to.String())
}

func (w way) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	addrs, err := w.resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("resolving %s: %w", host, err)
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%s has no permitted address", host)
	}
	return addrs, nil
}
