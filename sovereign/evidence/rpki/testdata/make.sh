#!/bin/bash
# Makes the vectors of this folder with openssl 3, and has openssl verify them: it is the witness that does not share our code. The keys are thrown away.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
rm -f ./*.cer ./*.pem ./*.crl ./*.csv
cd "$tmp"

# cert NAME ISSUER FROM UNTIL EXTENSIONS: "" as the issuer signs itself. openssl ca, because openssl x509 sets no dates in this version.
cert() {
  openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -subj "/CN=$1" -out "$1.csr" 2>/dev/null
  printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n[e]\nsubjectKeyIdentifier=hash\n%s\n' "$5" >"$1.cnf"
  touch index; [ -f serial ] || echo 1000 >serial
  local by=(-cert "${2:-$1}.pem" -keyfile "${2:-$1}.key"); [ -n "$2" ] || by=(-selfsign -keyfile "$1.key")
  openssl ca -batch -notext -config "$1.cnf" -extensions e "${by[@]}" -in "$1.csr" -startdate "$3" -enddate "$4" -out "$1.pem" 2>/dev/null
  openssl x509 -in "$1.pem" -outform DER -out "$1.cer"
}
ca() { printf 'basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\ncertificatePolicies=critical,1.3.6.1.5.5.7.14.2\n%s' "$1"; }
ee() { printf 'keyUsage=critical,digitalSignature\nauthorityKeyIdentifier=keyid\ncertificatePolicies=critical,1.3.6.1.5.5.7.14.2\n%s' "$1"; }
aki='authorityKeyIdentifier=keyid'
old=20200101000000Z from=20260101000000Z until=20990101000000Z

cert anchor "" $old $until "$(ca $'sbgp-ipAddrBlock=critical,IPv4:0.0.0.0/0,IPv6:::/0\nsbgp-autonomousSysNum=critical,AS:0-4294967295')"
cert registry anchor $old $until "$(ca "$aki"$'\nsbgp-ipAddrBlock=critical,IPv4:192.0.0.0-203.255.255.255,IPv6:2001:db8::/32\nsbgp-autonomousSysNum=critical,AS:64496-64511')"
cert holder registry $old $until "$(ca "$aki"$'\nsbgp-ipAddrBlock=critical,IPv4:inherit,IPv6:inherit\nsbgp-autonomousSysNum=critical,AS:64500')"
cert greedy registry $from $until "$(ca "$aki"$'\nsbgp-ipAddrBlock=critical,IPv4:10.0.0.0/8')"
cert stranger "" $from $until "$(ca $'sbgp-ipAddrBlock=critical,IPv4:0.0.0.0/0,IPv6:::/0')"

both='sbgp-ipAddrBlock=critical,IPv4:192.0.2.0/24,IPv4:198.51.100.0-198.51.100.127,IPv6:2001:db8:7::/48'
cert signer holder $from $until "$(ee "$both")"
cert past holder $from 20260601000000Z "$(ee "$both")"
cert struck holder $from $until "$(ee "$both")"
cert heir holder $from $until "$(ee $'sbgp-ipAddrBlock=critical,IPv4:inherit')"
cert numbered holder $from $until "$(ee "$both"$'\nsbgp-autonomousSysNum=critical,AS:64500')"
cert bare holder $from $until "$(ee '')"
cert overreach greedy $from $until "$(ee $'sbgp-ipAddrBlock=critical,IPv4:10.0.0.0/8')"
cert unknown stranger $from $until "$(ee "$both")"
cert forger signer $from $until "$(ee "$both")"

for by in anchor registry holder; do
  [ $by = holder ] && openssl ca -config $by.cnf -cert $by.pem -keyfile $by.key -revoke struck.pem 2>/dev/null
  echo 01 >crlnumber; echo 'crlnumber=crlnumber' | sed -i '/^\[d\]/r /dev/stdin' $by.cnf
  openssl ca -gencrl -config $by.cnf -cert $by.pem -keyfile $by.key -crldays 26000 2>/dev/null | openssl crl -outform DER -out $by.crl
done
cp anchor.cer holder.cer stranger.cer ./*.crl "$here"
cat registry.pem greedy.pem >"$here/between.pem"

printf '# Our feed\r\n192.0.2.0/24,DE,DE-HE,Frankfurt,\r\n192.0.2.128/25,NL,NL-NH,Amsterdam,\r\n198.51.100.0/25,FR,,,\r\n2001:db8:7:1::/64,DE,,,\r\n' >text
printf '10.1.0.0/16,DE,,,\r\n' >ten
printf '192.0.2.0/23,DE,,,\r\n' >wide
geofeed=1.2.840.113549.1.9.16.1.47
# feed NAME SIGNER TEXT OPTIONS: signs a text and wraps the signature.
feed() {
  local name=$1 signer=$2 text=$3; shift 3
  openssl cms -sign -binary -outform DER -in "$text" -signer "$signer.pem" -inkey "$signer.key" -out "$name.cms" "$@"
  wrap "$name" "$text"
}
wrap() {
  { cat "$2"; printf '# RPKI Signature: 192.0.2.0/24\r\n'; base64 -w 72 "$1.cms" | sed 's/^/# /; s/$/\r/'; printf '# End Signature: 192.0.2.0/24\r\n'; } >"$here/$1.csv"
}
profile=(-nosmimecap -keyid -md sha256 -econtent_type $geofeed)
feed good signer text "${profile[@]}"
for who in past struck heir numbered bare unknown forger; do feed $who $who text "${profile[@]}"; done
feed overreach overreach ten "${profile[@]}"
feed wide signer wide "${profile[@]}"
feed attached signer text "${profile[@]}" -nodetach
feed named signer text "${profile[@]}" -certfile holder.pem
feed data signer text -nosmimecap -keyid -md sha256
feed sha512 signer text -nosmimecap -keyid -md sha512 -econtent_type $geofeed
feed issuer signer text -nosmimecap -md sha256 -econtent_type $geofeed
feed capable signer text -keyid -md sha256 -econtent_type $geofeed
feed mute signer text -noattr -keyid -md sha256 -econtent_type $geofeed

# The witness. openssl judges signatures, paths, address resources and revocation as we do; not what the profile adds.
cat anchor.pem registry.pem holder.pem greedy.pem >path
for l in anchor registry holder; do openssl crl -in $l.crl -inform DER; done >>path
witness() {
  openssl cms -verify -binary -inform DER -in "$1.cms" -content "$2" -CAfile path -purpose any -out /dev/null "${@:3}" 2>&1
}
witness good text -crl_check_all >/dev/null || { echo "openssl refuses it: $(witness good text  -crl_check_all)"; exit 1; }
for f in past struck unknown forger; do
  ! witness $f text -crl_check_all >why || { echo "openssl takes $f"; exit 1; }
  echo "$f: $(grep -o 'Verify error.*' why)"
done
! witness overreach ten >why || { echo "openssl takes overreach"; exit 1; }
echo "overreach: $(grep -o 'Verify error.*' why)"
! witness good ten >why || { echo "openssl takes another text"; exit 1; }
echo "$(ls "$here"/*.csv | wc -l) feeds, and openssl agrees"
