package incident

// memberStates gives the EEA state of a country calling code (ITU-T E.164, list of assigned codes). Some share theirs with a smaller neighbour: Italy with the
// Vatican, Finland with Åland, Norway with Svalbard. These are what field 2.6 of ITS (EU) 2025/302 takes.
var memberStates = map[string]string{
	"+30": "GR", "+31": "NL", "+32": "BE", "+33": "FR", "+34": "ES", "+36": "HU", "+39": "IT", "+40": "RO", "+43": "AT", "+45": "DK", "+46": "SE", "+47": "NO", "+48": "PL",
	"+49": "DE", "+351": "PT", "+352": "LU", "+353": "IE", "+354": "IS", "+356": "MT", "+357": "CY", "+358": "FI", "+359": "BG", "+370": "LT", "+371": "LV", "+372": "EE",
	"+385": "HR", "+386": "SI", "+420": "CZ", "+421": "SK", "+423": "LI",
}

func isMemberState(country string) bool {
	for _, s := range memberStates {
		if s == country {
			return true
		}
	}
	return false
}
