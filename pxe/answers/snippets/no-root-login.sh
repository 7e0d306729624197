# Nobody logs in as root over the network: by password not at all, by key only when asked for.
# takes: keys=no
value=no
[ "$keys" != yes ] || value=prohibit-password
if [ -d /etc/ssh/sshd_config.d ]; then
    # The first value that sshd meets counts, so ours comes before the distribution's.
    printf 'PermitRootLogin %s\n' "$value" > /etc/ssh/sshd_config.d/00-no-root-login.conf
else
    sed -i '/^[#[:space:]]*PermitRootLogin/d' /etc/ssh/sshd_config
    sed -i "1i PermitRootLogin $value" /etc/ssh/sshd_config
fi
