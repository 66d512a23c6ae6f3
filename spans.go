package cordon

import (
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/notify/spans"
	"github.com/cordonsip/cordon/sovereign"
)

// buildSpans makes the follower that tells an OpenTelemetry collector of calls, if there is one.
func (n *Node) buildSpans(c *configs.Config) error {
	m, err := spans.NewMetrics(n.opts.Metrics)
	if err != nil || c.Spans.URL == "" {
		return err
	}
	to, err := n.spanCollector(c)
	if err != nil {
		return err
	}
	n.spans, err = spans.New(spans.Config{
		Log: n.log, KV: n.kv, Collector: to, Metrics: m, Logger: n.logger.With("room", "spans"),
		Origin: spans.Origin{Tenant: c.File.Tenant.OrgID, Node: c.File.Node.Name, Software: n.opts.Software},
	})
	return err
}

// spanCollector is the way to the collector: through the fence, like a webhook.
func (n *Node) spanCollector(c *configs.Config) (spans.Collector, error) {
	out, err := notify.NewOutlet(notify.OutletConfig{
		URL: c.Spans.URL, Roots: c.Spans.Roots, Resolve: n.resolver.Host, Dial: n.fence.Dialer("", sovereign.Infrastructure, n.dialInfrastructure),
	})
	if err != nil {
		return spans.Collector{}, err
	}
	to := spans.Collector{Outlet: out, Timeout: c.Spans.Timeout}
	for _, h := range c.Spans.Headers {
		to.Headers = append(to.Headers, spans.Header{Name: h.Name, Value: h.Value})
	}
	return to, nil
}

// aimSpans takes the collector of a new configuration. Whether there is one at all only a restart changes.
func (n *Node) aimSpans(c *configs.Config) error {
	if n.spans == nil {
		return nil
	}
	to, err := n.spanCollector(c)
	if err == nil {
		n.spans.Aim(to)
	}
	return err
}
