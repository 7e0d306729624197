# The key of an archive of this server's own, for Debian's installer and what it installs: a `pre` script.
# needs: url
keys=/usr/share/keyrings
[ -e $keys/archive.gpg ] || ln -s debian-archive-keyring.gpg $keys/archive.gpg
wget -q -O /tmp/own-archive.gpg "${url%/}/archive-key.gpg" || exit 1
cat /tmp/own-archive.gpg >> $keys/archive.gpg
mkdir -p /usr/lib/base-installer.d
cat > /usr/lib/base-installer.d/05own-archive <<'END'
#!/bin/sh
mkdir -p /target/etc/apt/trusted.gpg.d
cp /tmp/own-archive.gpg /target/etc/apt/trusted.gpg.d/own-archive.gpg
END
chmod +x /usr/lib/base-installer.d/05own-archive
