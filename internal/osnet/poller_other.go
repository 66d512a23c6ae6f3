//go:build !linux

package osnet

import (
	"context"
	"errors"
	"net/netip"

	"github.com/cordonsip/cordon/sovereign"
)

// Poller exists on Linux only.
type Poller struct{}

// Poller is not supported here.
func (Net) Poller() (*Poller, error) { return nil, errors.ErrUnsupported }

// Run waits for ctx.
func (*Poller) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Close has nothing to give back.
func (*Poller) Close() {}

// ListenUDP is that of Net.
func (*Poller) ListenUDP(at netip.AddrPort) (sovereign.UDPConn, error) { return Net{}.ListenUDP(at) }
