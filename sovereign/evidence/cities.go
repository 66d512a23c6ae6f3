package evidence

import "strings"

// SpotOf gives where a region of the catalogue is, by its city and country as the catalogue writes them; nil where that names no place that is small enough to be
// measured against. The figures are rounded, and KM is wide enough for the region around the city in which a provider builds.
func SpotOf(city, country string) *Spot {
	for _, name := range []string{city, cityOf(city)} {
		for _, c := range cities {
			if c.name == name && c.country == country {
				s := c.spot
				return &s
			}
		}
	}
	return nil
}

// cityOf is the city alone: "Paris area (SecNumCloud)" is in Paris.
func cityOf(s string) string {
	s, _, _ = strings.Cut(s, " (")
	s, _, _ = strings.Cut(s, "/")
	return strings.TrimSuffix(strings.TrimSpace(s), " area")
}

type city struct {
	name, country string
	spot          Spot
}

// The cities of the catalogue, and states that a provider names instead of one. Where a country alone is named, it is a small one.
var cities = []city{
	{"Abu Dhabi", "AE", Spot{24.5, 54.4, 80}},
	{"Amsterdam", "NL", Spot{52.4, 4.9, 80}},
	{"Ashburn", "US", Spot{39.0, -77.5, 100}},
	{"Auckland", "NZ", Spot{-36.8, 174.8, 80}},
	{"Austria (Ostermiething)", "AT", Spot{48.0, 12.8, 50}},
	{"Bangkok", "TH", Spot{13.8, 100.5, 100}},
	{"Beauharnois", "CA", Spot{45.3, -73.9, 50}},
	{"Beijing", "CN", Spot{39.9, 116.4, 200}},
	{"Berlin", "DE", Spot{52.5, 13.4, 80}},
	{"Bern", "CH", Spot{46.9, 7.4, 80}},
	{"Brandenburg", "DE", Spot{52.4, 13.1, 100}},
	{"Brussels", "BE", Spot{50.8, 4.4, 80}},
	{"Busan", "KR", Spot{35.2, 129.1, 100}},
	{"Calgary", "CA", Spot{51.0, -114.1, 80}},
	{"Canberra", "AU", Spot{-35.3, 149.1, 80}},
	{"Cape Town", "ZA", Spot{-33.9, 18.4, 80}},
	{"Cardiff", "GB", Spot{51.5, -3.2, 80}},
	{"Chennai", "IN", Spot{13.1, 80.3, 100}},
	{"Columbus", "US", Spot{40.0, -83.0, 100}},
	{"Copenhagen", "DK", Spot{55.7, 12.6, 80}},
	{"Dallas", "US", Spot{32.8, -96.8, 100}},
	{"Dammam", "SA", Spot{26.4, 50.1, 100}},
	{"Delhi", "IN", Spot{28.6, 77.2, 100}},
	{"Doha", "QA", Spot{25.3, 51.5, 80}},
	{"Dubai", "AE", Spot{25.2, 55.3, 80}},
	{"Dublin", "IE", Spot{53.3, -6.3, 80}},
	{"Eemshaven", "NL", Spot{53.4, 6.8, 50}},
	{"Falkenstein", "DE", Spot{50.5, 12.4, 50}},
	{"Frankfurt am Main", "DE", Spot{50.1, 8.7, 80}},
	{"Frankfurt", "DE", Spot{50.1, 8.7, 80}},
	{"Gavle", "SE", Spot{60.7, 17.1, 80}},
	{"Geneva", "CH", Spot{46.2, 6.1, 80}},
	{"Germany (Neckarsulm area)", "DE", Spot{49.2, 9.2, 80}},
	{"Gravelines", "FR", Spot{51.0, 2.1, 50}},
	{"Hamina", "FI", Spot{60.6, 27.2, 50}},
	{"Helsinki", "FI", Spot{60.2, 24.9, 80}},
	{"Hillsboro", "US", Spot{45.5, -123.0, 100}},
	{"Hong Kong", "HK", Spot{22.3, 114.2, 80}},
	{"Hyderabad", "IN", Spot{17.4, 78.5, 100}},
	{"Iowa", "US", Spot{41.9, -93.4, 350}},
	{"Israel", "IL", Spot{31.9, 34.9, 200}},
	{"Jakarta", "ID", Spot{-6.2, 106.8, 100}},
	{"Johannesburg", "ZA", Spot{-26.2, 28.0, 100}},
	{"Jovanovac", "RS", Spot{44.1, 20.9, 80}},
	{"Kuala Lumpur", "MY", Spot{3.1, 101.7, 100}},
	{"Las Vegas", "US", Spot{36.2, -115.1, 100}},
	{"Lenexa", "US", Spot{39.0, -94.7, 80}},
	{"Limburg", "DE", Spot{50.2, 8.4, 100}},
	{"Logrono", "ES", Spot{42.5, -2.4, 80}},
	{"London", "GB", Spot{51.5, -0.1, 100}},
	{"Los Angeles", "US", Spot{34.1, -118.2, 100}},
	{"Madrid", "ES", Spot{40.4, -3.7, 80}},
	{"Magdeburg", "DE", Spot{52.1, 11.6, 80}},
	{"Malmo", "SE", Spot{55.6, 13.0, 80}},
	{"Manama", "BH", Spot{26.2, 50.6, 80}},
	{"Marseille", "FR", Spot{43.3, 5.4, 80}},
	{"Melbourne", "AU", Spot{-37.8, 145.0, 100}},
	{"Milan", "IT", Spot{45.5, 9.2, 100}},
	{"Montreal", "CA", Spot{45.5, -73.6, 100}},
	{"Montréal", "CA", Spot{45.5, -73.6, 100}},
	{"Mumbai", "IN", Spot{19.1, 72.9, 100}},
	{"Munich", "DE", Spot{48.1, 11.6, 80}},
	{"N. Virginia", "US", Spot{38.9, -77.5, 150}},
	{"New Jersey", "US", Spot{40.3, -74.5, 150}},
	{"Newark", "US", Spot{40.7, -74.2, 80}},
	{"Newport", "GB", Spot{51.6, -3.0, 80}},
	{"Ningxia", "CN", Spot{37.5, 105.7, 350}},
	{"Northern Virginia", "US", Spot{38.9, -77.5, 150}},
	{"Nuremberg", "DE", Spot{49.5, 11.1, 80}},
	{"Ohio", "US", Spot{40.3, -82.8, 250}},
	{"Osaka", "JP", Spot{34.7, 135.5, 100}},
	{"Oslo", "NO", Spot{59.9, 10.8, 100}},
	{"Paris", "FR", Spot{48.9, 2.4, 100}},
	{"Phoenix", "US", Spot{33.4, -112.1, 100}},
	{"Pune", "IN", Spot{18.5, 73.9, 100}},
	{"Quebec City", "CA", Spot{46.8, -71.2, 100}},
	{"Queretaro", "MX", Spot{20.6, -100.4, 100}},
	{"Rio de Janeiro", "BR", Spot{-22.9, -43.2, 100}},
	{"Roubaix", "FR", Spot{50.7, 3.2, 50}},
	{"Salt Lake City", "US", Spot{40.8, -111.9, 100}},
	{"Santiago", "CL", Spot{-33.4, -70.7, 100}},
	{"Sao Paulo", "BR", Spot{-23.5, -46.6, 150}},
	{"Sāo Paulo", "BR", Spot{-23.5, -46.6, 150}},
	{"Seoul", "KR", Spot{37.6, 127.0, 100}},
	{"Singapore", "SG", Spot{1.3, 103.8, 60}},
	{"Sofia", "BG", Spot{42.7, 23.3, 80}},
	{"St. Ghislain", "BE", Spot{50.5, 3.8, 60}},
	{"Stavanger", "NO", Spot{59.0, 5.7, 100}},
	{"Stockholm", "SE", Spot{59.3, 18.1, 150}},
	{"Strasbourg", "FR", Spot{48.6, 7.8, 50}},
	{"Sydney", "AU", Spot{-33.9, 151.2, 100}},
	{"Taipei", "TW", Spot{25.0, 121.5, 80}},
	{"Taiwan", "TW", Spot{23.8, 121.0, 250}},
	{"Tel Aviv", "IL", Spot{32.1, 34.8, 100}},
	{"Tokyo", "JP", Spot{35.7, 139.7, 100}},
	{"Toronto", "CA", Spot{43.7, -79.4, 100}},
	{"Turin", "IT", Spot{45.1, 7.7, 80}},
	{"Vienna", "AT", Spot{48.2, 16.4, 80}},
	{"Vint Hill", "US", Spot{38.7, -77.7, 80}},
	{"Warsaw", "PL", Spot{52.2, 21.0, 100}},
	{"Worcester", "GB", Spot{52.2, -2.2, 80}},
	{"Zagreb", "HR", Spot{45.8, 16.0, 80}},
	{"Zaragoza (Aragon)", "ES", Spot{41.6, -0.9, 150}},
	{"Zurich", "CH", Spot{47.4, 8.5, 100}},
	{"Zürich", "CH", Spot{47.4, 8.5, 100}},
}
