package configs

import (
	"crypto/x509"
	"encoding/pem"
	"time"
)

// Certificates says how certificates are looked after.
type Certificates struct {
	// How often the files of our own certificates and of the roots of trunks, edge groups and listeners are looked at; one that changed is judged and takes
	// effect with the next handshake. Default 10s.
	Check Duration `yaml:"check,omitempty"`
}

func (b *builder) certificates(c *Config) {
	c.Pairs, c.Roots = b.pairs, b.trusted
	c.CertCheck = b.doc.file.Certificates.Check.Or(10 * time.Second)
	if c.CertCheck < time.Second || c.CertCheck > time.Hour {
		b.fail("certificates.check", "between 1s and 1h", "%s is out of range", c.CertCheck)
	}
}

// PEM gives the certificates of a file that can be read, as a list and as a pool.
func PEM(data []byte) (list []*x509.Certificate, pool *x509.CertPool) {
	pool = x509.NewCertPool()
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return list, pool
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			list = append(list, c)
			pool.AddCert(c)
		}
	}
}
