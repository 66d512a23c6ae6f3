package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/approval/sign"
)

type gateKey struct {
	Out     string `required:"" help:"File for the private key (PKCS #8 PEM, mode 0600); it must not exist." placeholder:"FILE" type:"path"`
	ID      string `name:"id" help:"Your id in the configuration, for the lines that are printed."`
	Expires string `help:"Last day of the key, YYYY-MM-DD; default: in a year."`
}

// Run makes a person's key and prints its public half.
func (g *gateKey) Run(s streams) error {
	last, err := lastDay(g.Expires)
	if err != nil {
		return err
	}
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err == nil {
		err = writeNew(g.Out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	if err != nil {
		return err
	}
	id := g.ID
	if id == "" {
		id = "YOUR-ID"
	}
	day := last.AddDate(0, 0, -1).Format(time.DateOnly)
	fmt.Fprintf(s.out, "key        %s\nreads as   %s\n\n", sign.KeyID(pub), sign.Fingerprint(sign.KeyID(pub)))
	fmt.Fprintf(s.out, "put this under the person in the configuration, before the first start:\n\npeople:\n  - id: %s\n    keys: [{public: %s, expires: %s}]\n\n", id, sign.PublicText(pub), day)
	fmt.Fprintf(s.out, "later, two people vouch for it:\n\n  cordon gate enrol --key-of=%s --public=%s --expires=%s --out=enrolment.json\n", id, sign.PublicText(pub), day)
	return nil
}

// lastDay reads the last day of a key and gives the moment of its end.
func lastDay(s string) (time.Time, error) {
	if s == "" {
		return time.Now().UTC().Truncate(24*time.Hour).AddDate(1, 0, 0), nil
	}
	t, err := time.Parse(time.DateOnly, s)
	end := t.AddDate(0, 0, 1)
	if err != nil || !time.Now().Before(end) {
		return end, withHint(fmt.Errorf("--expires: %q is no day to come", s), "write it as 2027-11-21")
	}
	return end, nil
}

type gateEnrol struct {
	KeyOf   string `required:"" name:"key-of" help:"Id of the person in the configuration." placeholder:"PERSON"`
	Public  string `required:"" help:"The public key, as gate key printed it." placeholder:"KEY"`
	Expires string `help:"Last day of the key, YYYY-MM-DD; default: in a year."`
	Out     string `required:"" help:"File to write, for two people who vouch." placeholder:"FILE" type:"path"`
}

// Run begins the enrolment of a key.
func (g *gateEnrol) Run(s streams) error {
	pub, err := sign.ParsePublic(g.Public)
	if err != nil {
		return withHint(fmt.Errorf("--public: %w", err), "write what cordon gate key printed")
	}
	expires, err := lastDay(g.Expires)
	if err != nil {
		return err
	}
	f, err := sign.NewEnrolment(g.KeyOf, pub, expires, time.Now(), nonce(), nonce())
	if err != nil {
		return err
	}
	return writeEnrolment(s, f, g.Out)
}

func writeEnrolment(s streams, f sign.EnrolmentFile, path string) error {
	raw, err := f.File()
	if err == nil {
		err = writeNew(path, raw)
	}
	if err != nil {
		return err
	}
	next := "cordon gate vouch " + path + " --key=FILE --role=ROLE --out=OTHER adds a signature"
	if len(f.Vouches) >= 2 {
		next = "cordon gate submit " + path + " hands it in"
	}
	e := f.Enrolment
	fmt.Fprintf(s.out, "key        %s of %s until %s\nreads as   %s\nvouched    by %d of 2\nwritten    %s: %s\n", e.Key, f.Person, clock(e.Expires), sign.Fingerprint(e.Key), len(f.Vouches), path, next)
	return nil
}

type gateVouch struct {
	File string `arg:"" help:"The enrolment, as gate enrol or another gate vouch wrote it." type:"path"`
	Key  string `required:"" help:"Your private key; its public half counts already." type:"path"`
	Role string `required:"" help:"Approving role in which you vouch."`
	Out  string `required:"" help:"File to write." placeholder:"FILE" type:"path"`
}

// Run signs for the key of somebody else.
func (g *gateVouch) Run(s streams) error {
	raw, err := readUpTo(g.File, sign.MaxFile)
	if err != nil {
		return err
	}
	f, err := sign.ParseEnrolment(raw)
	if err != nil {
		return withHint(err, "have the enrolment made again")
	}
	key, err := ownKey(g.Key)
	if err != nil {
		return err
	}
	if f, err = f.Vouch(key, g.Role, time.Now()); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "you say    that this key is the one of %s: have its owner read it to you\n", f.Person)
	return writeEnrolment(s, f, g.Out)
}

type gateKeys struct{ api }

// Run lists keys.
func (g *gateKeys) Run(ctx context.Context, s streams) error {
	var list admin.KeyList
	if err := g.do(ctx, "GET", "/api/v1/keys", nil, &list); err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tPERSON\tCOUNTS\tUNTIL\tENROLLED\tWHY")
	for _, k := range list.Keys {
		who, counts, how := k.Person, "yes", "-"
		if name, ok := list.People[k.Person]; ok {
			who += " (" + name + ")"
		}
		if !k.Counts {
			counts = "no"
		}
		switch k.How {
		case keyring.HowBootstrap:
			how = fmt.Sprintf("first keys, entry %d", k.Entry)
		case keyring.HowVouched:
			how = fmt.Sprintf("vouched by %s, entry %d", strings.Join(k.By, " and "), k.Entry)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, who, counts, clock(k.Expires), how, k.Why)
	}
	return w.Flush()
}

type gateRevokeKey struct {
	api
	Key    string `arg:"" help:"Key id, as gate keys shows it."`
	Reason string `required:"" help:"Why; it stands in the log."`
}

// Run ends a key.
func (g *gateRevokeKey) Run(ctx context.Context, s streams) error {
	var k keyring.Key
	if err := g.do(ctx, "POST", "/api/v1/keys/"+url.PathEscape(g.Key)+"/revoke", map[string]string{"reason": g.Reason}, &k); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "revoked    %s of %s (log entry %d): it never counts again\n", k.ID, k.Person, k.Revocation)
	return nil
}
