package cordon

import (
	"log/slog"
	"path/filepath"
	"reflect"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/notify/cosign"
	"github.com/cordonsip/cordon/sovereign"
)

// buildWitnesses makes what asks the witnesses of the log, if there are any: each through the fence, like a webhook.
func (n *Node) buildWitnesses(c *configs.Config) error {
	m, err := cosign.NewMetrics(n.opts.Metrics)
	if err != nil || len(c.Witnesses.List) == 0 {
		return err
	}
	n.asker, err = askerOf(c, n.log, way{n.fence, n.resolver.Host, n.dialInfrastructure}, n.keepCosigned, m, n.logger.With("room", "cosign"))
	return err
}

// askerOf asks the witnesses of a configuration about a log.
func askerOf(c *configs.Config, l audit.Log, w way, keep func([]byte) error, m *cosign.Metrics, logger *slog.Logger) (*cosign.Asker, error) {
	var list []cosign.Witness
	for _, one := range c.Witnesses.List {
		out, err := notify.NewOutlet(notify.OutletConfig{URL: one.URL, Roots: one.Roots, Resolve: w.resolve, Dial: w.fence.Dialer("", sovereign.Infrastructure, w.dial)})
		if err != nil {
			return nil, err
		}
		list = append(list, cosign.Witness{Key: one.Key, To: out})
	}
	return cosign.New(cosign.Config{Log: l, Witnesses: list, Quorum: c.Witnesses.Quorum, Keep: keep, Metrics: m, Logger: logger, Every: c.Witnesses.Every})
}

// keepCosigned puts a checkpoint that witnesses signed where `cordon verify --witness` finds it. A log in memory has no such place, and ends with us.
func (n *Node) keepCosigned(raw []byte) error {
	if n.opts.Memory {
		return nil
	}
	return audit.KeepCosigned(filepath.Join(n.opts.Config.StateDir, "log"), raw)
}

// sameWitnesses says whether two configurations ask the same witnesses in the same way.
func sameWitnesses(a, b configs.Log) bool {
	return reflect.DeepEqual(a.Witnesses, b.Witnesses) && a.Quorum == b.Quorum && a.WitnessEvery == b.WitnessEvery
}
