package configs

import (
	"crypto/x509"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/cordonsip/cordon/audit/worm"
	"github.com/cordonsip/cordon/sovereign"
)

// WORM is a bucket with object lock that takes a second copy of the log.
type WORM struct {
	// Address of the S3 server, https://HOST[:PORT]; the bucket is the first segment of the path. Its host must lie in region.
	Endpoint string `yaml:"endpoint"`
	// Where the bucket lies, provider:code; the policy must permit it.
	Region string `yaml:"region"`
	// Region that requests are signed for; default: the code of region.
	SigningRegion string `yaml:"signing_region,omitempty"`
	// Name of the bucket; it was made with object lock, and locks nothing by itself.
	Bucket string `yaml:"bucket"`
	// Access key id: {env: NAME} or {file: PATH}, read for each request.
	AccessKey Secret `yaml:"access_key"`
	// Its secret, likewise.
	SecretKey Secret `yaml:"secret_key"`
	// How objects are locked: compliance (default, and the only one), which nobody can lift.
	Mode string `yaml:"mode,omitempty"`
	// How long the log's objects are locked: years or days, 1d to 30y, default 5y. It can be made longer, never shorter for what is there.
	Keep string `yaml:"keep,omitempty"`
	// How often the copy is brought up to date, if there is something new, and once more in the end; default 1m, 10s to 1h.
	Every Duration `yaml:"every,omitempty"`
	// Public half of the key that keys and salts are sealed to, x25519:BASE64, as cordon restore key prints it; the other half is kept offline.
	RecoveryKey string `yaml:"recovery_key"`
	// Roots of the server, PEM; default: the system's.
	RootsFile string `yaml:"roots_file,omitempty"`
}

// WORMPart is the copy's share; without an endpoint there is none.
type WORMPart struct {
	Endpoint, Signing, Bucket string
	Region                    sovereign.Region
	Access, Secret            func() (string, error)
	Keep                      worm.Keep
	Every                     time.Duration
	To                        *worm.Recipient
	Roots                     *x509.CertPool
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	keepTime   = regexp.MustCompile(`^([1-9][0-9]{0,4})([yd])$`)
)

// maxKeepDays bounds a lock that nobody can lift: thirty years.
const maxKeepDays = 30 * 366

func (b *builder) worm(c *Config) {
	w := b.doc.file.Log.WORM
	if w == nil {
		return
	}
	part := WORMPart{Endpoint: w.Endpoint, Signing: w.SigningRegion, Bucket: w.Bucket, Every: w.Every.Or(time.Minute), Roots: b.roots("log.worm.roots_file", w.RootsFile)}
	u, err := url.Parse(w.Endpoint)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		b.fail("log.worm.endpoint", "https://HOST[:PORT] without a path: the bucket has a key of its own", "is no address")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		b.fail("log.worm.endpoint", "use https: http is taken for loopback alone", "is not protected")
	}
	if w.Region == "" {
		b.fail("log.worm.region", "name the region of the bucket, provider:code, e.g. aws:eu-central-1", "is missing")
	} else {
		part.Region = b.region("log.worm.region", w.Region, true)
	}
	if part.Signing == "" {
		part.Signing = part.Region.Code
	}
	if !bucketName.MatchString(w.Bucket) {
		b.fail("log.worm.bucket", "3 to 63 lower-case letters, digits, dots and dashes", "%.80q is no name of a bucket", w.Bucket)
	}
	part.Access, part.Secret = b.wormKey("log.worm.access_key", w.AccessKey), b.wormKey("log.worm.secret_key", w.SecretKey)
	if w.Mode != "" && w.Mode != "compliance" {
		b.fail("log.worm.mode", "compliance: what somebody can unlock, somebody can delete", "%.80q is not taken", w.Mode)
	}
	part.Keep = b.keep("log.worm.keep", w.Keep)
	if part.Every < 10*time.Second || part.Every > time.Hour {
		b.fail("log.worm.every", "between 10s and 1h", "%s is out of range", part.Every)
	}
	if part.To, err = worm.ParseRecipient(w.RecoveryKey); err != nil {
		b.fail("log.worm.recovery_key", "what `cordon restore key FILE` prints, where FILE is kept offline: x25519:BASE64", "is no public key")
	}
	c.WORM = part
	b.lockedLongEnough(c)
}

// lockedLongEnough warns of a lock that ends while a class of retention still keeps what references stand for: the entries that name them could be deleted by then.
func (b *builder) lockedLongEnough(c *Config) {
	from := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // years and days are compared from one day on
	for _, class := range c.Retention {
		k := worm.Keep{Years: class.Keep.Years, Days: class.Keep.Days}
		if c.WORM.Keep.From(from).Before(k.From(from)) {
			b.warn("log.worm.keep", "lock for as long as the longest class keeps: "+class.Keep.String(), "the copy may be deleted sooner than the class %.64q is over", class.Name)
		}
	}
}

func (b *builder) wormKey(at string, s Secret) func() (string, error) {
	if s.IsZero() {
		b.fail(at, "add {env: NAME} or {file: PATH}", "is missing")
	}
	s.File = b.path(s.File)
	return s.Value
}

// keep reads years or days.
func (b *builder) keep(at, s string) worm.Keep {
	if s == "" {
		return worm.Keep{Years: 5}
	}
	m := keepTime.FindStringSubmatch(s)
	var k worm.Keep
	if m != nil {
		n, _ := strconv.Atoi(m[1]) // five digits at most
		if m[2] == "y" {
			k.Years = n
		} else {
			k.Days = n
		}
	}
	if m == nil || k.Years*366+k.Days > maxKeepDays {
		b.fail(at, "years or days, 1d to 30y, e.g. 5y", "%.80q is no such time", s)
	}
	return k
}

// wormPlace refuses a bucket in a region that the policy does not permit, and warns of an address that the fence will refuse, where the file names one.
func (b *builder) wormPlace(c *Config, s *sovereign.Snapshot) {
	if c.WORM.Endpoint == "" {
		return
	}
	if r := s.Judge(sovereign.Ask{Plane: sovereign.Infrastructure, Region: c.WORM.Region, At: time.Now()}); !r.Permitted() {
		b.fail("log.worm.region", "take a bucket in a region that the policy permits", "the copy may not lie there: %s (%s)", r.Verdict, r.Ground)
		return
	}
	u, err := url.Parse(c.WORM.Endpoint)
	if err != nil {
		return
	}
	a, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return // a name, which is judged when it is resolved
	}
	r := s.Judge(sovereign.Ask{Plane: sovereign.Infrastructure, Addr: netip.AddrPortFrom(a, 443), At: time.Now()})
	switch {
	case !r.Permitted():
		b.warn("log.worm.endpoint", "declare its place, and let the policy permit it", "nothing will be copied there: %s (%s)", r.Verdict, r.Ground)
	case r.Region != c.WORM.Region:
		b.warn("log.worm.endpoint", "declare the region of its prefix in places", "nothing will be copied there: its address lies in %s, not in %s", r.Region, c.WORM.Region)
	}
}
