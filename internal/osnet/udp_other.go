//go:build !linux

package osnet

import (
	"net"

	"github.com/cordonsip/cordon/sovereign"
)

func wrap(c *net.UDPConn) (sovereign.UDPConn, error) { return c, nil }
