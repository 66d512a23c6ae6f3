package configs

import (
	"crypto/x509"
	"encoding/pem"
	"time"
)

// Certificates says how certificates are looked after.
type Certificates struct {
	// How often the files of our own certificates are looked at; one that changed is judged and takes effect with the next handshake. Default 10s.
	Check Duration `yaml:"check,omitempty"`
}

func (b *builder) certificates(c *Config) {
	c.Pairs, c.Roots = b.pairs, b.trusted
	c.CertCheck = b.doc.file.Certificates.Check.Or(10 * time.Second)
	if c.CertCheck < time.Second || c.CertCheck > time.Hour {
		b.fail("certificates.check", "between 1s and 1h", "%s is out of range", c.CertCheck)
	}
}

// pemCertificates are the certificates of a file that can be read.
func pemCertificates(data []byte) (out []*x509.Certificate) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return out
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			out = append(out, c)
		}
	}
}
