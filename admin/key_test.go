package admin

import "crypto/ed25519"

// testKey signs the checkpoints of test logs.
var testKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
