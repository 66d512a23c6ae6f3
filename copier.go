package cordon

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/cordonsip/cordon/audit/worm"
	"github.com/cordonsip/cordon/audit/worm/s3"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/sovereign"
)

// buildCopier makes what copies the log into a bucket that nobody can delete from, if there is one. A log in memory has nothing to copy, and ends with us.
func (n *Node) buildCopier(c *configs.Config) error {
	m, err := worm.NewMetrics(n.opts.Metrics)
	if err != nil || c.WORM.Endpoint == "" || n.opts.Memory {
		return err
	}
	b, err := bucketOf(c.WORM, way{n.fence, n.resolver.Host, n.dialInfrastructure})
	if err != nil {
		return err
	}
	n.copier, err = worm.New(worm.Config{
		Log: n.log, Dir: c.StateDir, Bucket: b, Keep: c.WORM.Keep, To: c.WORM.To, MAC: n.keys.derive("worm"), Metrics: m, Logger: n.logger.With("room", "worm"), Every: c.WORM.Every,
	})
	return err
}

// way is how infrastructure is reached: names by the judged resolver, addresses through the fence.
type way struct {
	fence   *sovereign.Fence
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
}

// bucketOf is the bucket of a configuration, behind the fence like a webhook.
func bucketOf(p configs.WORMPart, w way) (*s3.Bucket, error) {
	out, err := notify.NewOutlet(notify.OutletConfig{URL: p.Endpoint, Roots: p.Roots, Resolve: w.resolve, Dial: w.within(p.Region), Reuse: true})
	if err != nil {
		return nil, fmt.Errorf("log.worm.endpoint: %w", err)
	}
	return s3.New(s3.Config{Endpoint: p.Endpoint, Region: p.Signing, Bucket: p.Bucket, Access: p.Access, Secret: p.Secret, Client: out.Client()})
}

// within dials what the fence permits and what lies in one region: a permitted place is not yet the one that was declared.
func (w way) within(region sovereign.Region) func(ctx context.Context, network, addr string) (net.Conn, error) {
	dial := w.fence.Dialer("", sovereign.Infrastructure, w.dial)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		to, err := netip.ParseAddrPort(addr)
		if err != nil {
			return nil, fmt.Errorf("cordon: dial: %w", err)
		}
		if r := w.fence.Judge(sovereign.Ask{Plane: sovereign.Infrastructure, Addr: to}); r.Permitted() && r.Region != region {
			return nil, fmt.Errorf("%w: %s lies in %s, and the bucket is declared in %s", sovereign.ErrFenced, to.Addr(), r.Region, region)
		}
		return dial(ctx, network, addr)
	}
}
