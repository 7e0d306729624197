# Public keys for an account, and log-in by password off for everybody.
# needs: account keys
# takes: passwords=yes
home=$(getent passwd "$account" | cut -d: -f6)
[ -n "$home" ] || { echo "there is no account $account" >&2; exit 1; }
mkdir -p "$home/.ssh"
printf '%s\n' "$keys" >> "$home/.ssh/authorized_keys"
chmod 700 "$home/.ssh"
chmod 600 "$home/.ssh/authorized_keys"
chown -R "$account" "$home/.ssh"
if [ "$passwords" = no ]; then
    if [ -d /etc/ssh/sshd_config.d ]; then
        echo 'PasswordAuthentication no' > /etc/ssh/sshd_config.d/00-no-passwords.conf
    else
        sed -i '/^[#[:space:]]*PasswordAuthentication/d' /etc/ssh/sshd_config
        sed -i '1i PasswordAuthentication no' /etc/ssh/sshd_config
    fi
fi
