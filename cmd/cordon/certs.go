package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cordonsip/cordon/certs"
)

type certsCmd struct {
	api
	Within int `default:"0" help:"Only certificates with at most that many days left; 0 shows all."`
}

// Run prints the register, the certificate that ends first in front.
func (c *certsCmd) Run(ctx context.Context, s streams) error {
	var v struct {
		Certificates []certs.Certificate `json:"certificates"`
	}
	if err := c.do(ctx, "GET", "/api/v1/certificates", nil, &v); err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "DAYS\tENDS\tROLE\tUSED BY\tNAMES\tISSUER\tSHA-256")
	now := time.Now()
	for _, x := range v.Certificates {
		left := x.Left(now)
		if c.Within > 0 && left > c.Within {
			continue
		}
		role := string(x.Role)
		if !x.Leaf && x.Role != certs.Root {
			role += " chain"
		}
		names := strings.Join(x.Names, " ")
		if names == "" {
			names = x.Subject
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%.16s\n", left, x.NotAfter.Format(time.DateOnly), role, strings.Join(x.Uses, ", "), dash(names), dash(x.Issuer), x.Fingerprint)
	}
	return w.Flush()
}
